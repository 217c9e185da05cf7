package httpclient

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkGet fetches a body of 100 kB over a kept connection from a server that does next to nothing.
func BenchmarkGet(b *testing.B) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000))
	for _, isDirect := range []bool{false, true} {
		b.Run(fmt.Sprintf("direct=%v", isDirect), func(b *testing.B) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer func() { _ = conn.Close() }()
				for buf := make([]byte, 4096); ; {
					if _, err := conn.Read(buf); err != nil {
						return
					}
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			}()
			c, err := New(DefaultConfig(), Options{Name: "j", UserAgent: "Narthex/test", Direct: isDirect})
			if err != nil {
				b.Fatal(err)
			}
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+listener.Addr().String()+"/metrics", http.NoBody)
			if err != nil {
				b.Fatal(err)
			}
			req.Header.Set("Accept", "text/plain;version=0.0.4")
			body := make([]byte, 100_000)
			b.ReportAllocs()
			for b.Loop() {
				resp, err := c.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(resp.Body, body); err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
			b.StopTimer()
			c.CloseIdleConnections()
			_ = listener.Close()
			<-done
		})
	}
}
