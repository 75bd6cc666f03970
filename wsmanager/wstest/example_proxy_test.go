package wstest_test

import (
	"fmt"
	"io"
	"net"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// The network passes on five bytes and then the end of the connection.
func ExampleProxy() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ln.Close()
	go func() { // a server that sends more than arrives
		conn, err := ln.Accept()
		if err == nil {
			_, _ = io.WriteString(conn, "hello, and more")
			_, _ = io.Copy(io.Discard, conn) // until the reset
			_ = conn.Close()
		}
	}()
	proxy, err := wstest.ListenProxy(ln.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer proxy.Close()
	proxy.Down(wstest.Fault{After: 5, Cut: wstest.CutHalfClose})

	conn, err := net.Dial("tcp", proxy.Addr())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	got, err := io.ReadAll(conn)
	fmt.Printf("%q %v\n", got, err)
	// Output: "hello" <nil>
}
