package wire

import (
	"maps"
	"sync"
)

// Calls counts API calls by "service:Operation", for example "s3:GetObject".
// Every request that reached a stand-in counts: an SDK's own retries and
// requests that ended in an injected fault too. The zero value is ready; one
// Calls may be shared by several stand-ins.
type Calls struct {
	mu     sync.Mutex
	counts map[string]int
}

// Counts returns a copy of the counts so far.
func (c *Calls) Counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := make(map[string]int, len(c.counts))
	maps.Copy(counts, c.counts)
	return counts
}

// Reset forgets all counts.
func (c *Calls) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts = nil
}

// add counts one call and returns its number, from 1, among its kind.
func (c *Calls) add(operation string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = make(map[string]int)
	}
	c.counts[operation]++
	return c.counts[operation]
}
