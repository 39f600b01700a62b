package clienthello

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tlswatch/pkg/clienthello/capture"
	"tlswatch/pkg/clienthello/tlswire"
)

// writeTraffic writes a capture of about n bytes: interleaved connections of about
// 100 kB, 100 at a time. Half of them have a post-quantum ClientHello in two segments.
// It returns the number of connections.
func writeTraffic(w io.Writer, n int) (connections int, err error) {
	p := pcapgo.NewWriter(w)
	if err := p.WriteFileHeader(262144, layers.LinkTypeEthernet); err != nil {
		return 0, err
	}
	const concurrent = 100
	body := make([]byte, 90_000)
	rand.NewChaCha8([32]byte{}).Read(body)
	var records []byte
	for chunk := 0; chunk < len(body); chunk += 1 << 14 {
		records = append(records, record(tlswire.RecordApplicationData, body[chunk:min(chunk+1<<14, len(body))])...)
	}
	at := start
	for written := 0; written < n; {
		var scripts [concurrent]*script
		for i := range scripts {
			flights := hybrid()
			if i%2 == 0 {
				flights = classical()
			}
			c := connections
			s := newScript(fmt.Sprintf("10.%d.%d.%d:%d", 1+c>>16&0x7f, c>>8&0xff, c&0xff, 40000+c%20000), "198.51.100.10:443").open()
			for _, f := range flights {
				s.send(f.client, f.data, 1448)
			}
			for data := records; len(data) > 0; {
				s.send(false, data[:min(len(data), 2896)], 1448)
				s.segment(true, ack, s.seq[0], nil)
				data = data[min(len(data), 2896):]
			}
			s.end(false, fin)
			s.end(true, fin)
			scripts[i] = s
			connections++
		}
		for turn, left := 0, true; left; turn++ {
			left = false
			for _, s := range scripts {
				if turn >= len(s.packets) {
					continue
				}
				left = true
				frame := ethernet(s.packets[turn].ip)
				if err := p.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(frame), Length: len(frame)}, frame); err != nil {
					return 0, err
				}
				at = at.Add(10 * time.Microsecond)
				written += 16 + len(frame)
			}
		}
	}
	return connections, nil
}

// TestWriteTraffic writes a capture for measurements to the file that
// TLSWATCH_TRAFFIC names, of TLSWATCH_TRAFFIC_MB megabytes (1,000).
func TestWriteTraffic(t *testing.T) {
	name := os.Getenv("TLSWATCH_TRAFFIC")
	if name == "" {
		t.Skip("TLSWATCH_TRAFFIC names no file to write")
	}
	megabytes := 1000
	if s := os.Getenv("TLSWATCH_TRAFFIC_MB"); s != "" {
		var err error
		if megabytes, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	b := bufio.NewWriterSize(f, 1<<20)
	connections, err := writeTraffic(b, megabytes*1e6)
	if err == nil {
		err = b.Flush()
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d connections", name, connections)
}

func BenchmarkTracker(b *testing.B) {
	var capture bytes.Buffer
	want, err := writeTraffic(&capture, 20e6)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(capture.Len()))
	for b.Loop() {
		n := 0
		tracker := NewTracker(Options{}, func(*Handshake) error {
			n++
			return nil
		})
		if err := tracker.Read(context.Background(), bytes.NewReader(capture.Bytes())); err != nil {
			b.Fatal(err)
		}
		if err := tracker.Close(); err != nil || n != want {
			b.Fatalf("%d handshakes of %d, %v", n, want, err)
		}
	}
}

// BenchmarkRead only reads the capture, for comparison.
func BenchmarkRead(b *testing.B) {
	var traffic bytes.Buffer
	if _, err := writeTraffic(&traffic, 20e6); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(traffic.Len()))
	for b.Loop() {
		source, err := capture.Open(bytes.NewReader(traffic.Bytes()))
		for err == nil {
			_, err = source()
		}
		if err != io.EOF {
			b.Fatal(err)
		}
	}
}
