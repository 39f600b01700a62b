# Fetches a page from each server named on standard input: PORT TAB MIN,MAX TAB PEM FILE.
import socket, ssl, sys

names = {"TLSv1": "TLSv1", "TLSv1.1": "TLSv1_1", "TLSv1.2": "TLSv1_2", "TLSv1.3": "TLSv1_3"}
for line in sys.stdin:
    port, versions, key = line.rstrip("\n").split("\t")
    try:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if versions:
            low, high = versions.split(",")[0], versions.split(",")[-1]
            if low in ("TLSv1", "TLSv1.1"):
                context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = getattr(ssl.TLSVersion, names[low])
            context.maximum_version = getattr(ssl.TLSVersion, names[high])
        if key:
            context.load_cert_chain(key)
        with socket.create_connection(("127.0.0.1", int(port)), 20) as plain:
            with context.wrap_socket(plain, server_hostname="server.example.test") as s:
                s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = s.recv(100).split(b"\r\n")[0].decode()
    except Exception as e:
        answer = repr(e)
    print(port + "\t" + answer, flush=True)
