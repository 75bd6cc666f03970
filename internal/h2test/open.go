package h2test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Open sends the head of a request: its method, URL, Host, Header, and a ContentLength
// above 0. Header[":protocol"] makes it an extended CONNECT; the error is [ErrNotOffered]
// if the server does not accept those. The request's Body is ignored: write the body to the
// Stream. With endStream the request has no body.
//
// Open waits for the server's settings. If the request's context ends before the stream
// does, the stream is reset with CANCEL.
func (c *Conn) Open(r *http.Request, endStream bool) (*Stream, error) {
	ctx := r.Context()
	protocol := ""
	if p := r.Header[":protocol"]; len(p) > 0 {
		protocol = p[0]
	}
	unwait := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.settled.Broadcast()
	})
	defer unwait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.hasSettings && c.err == nil {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		c.settled.Wait()
	}
	if err := c.checkLocked(protocol != ""); err != nil {
		return nil, err
	}
	c.last += 2
	s := &Stream{c: c, id: c.last - 1, request: r, receive: streamWindow, send: c.initialLocked(), endSent: endStream}
	s.changed = sync.NewCond(&c.mu)
	c.streams[s.id] = s
	c.headersLocked(s.id, fields(r, protocol), endStream)
	s.stopWatch = context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		s.resetLocked(http2.ErrCodeCancel, context.Cause(ctx))
	})
	return s, nil
}

// initialLocked returns the initial send window of a stream.
func (c *Conn) initialLocked() int64 {
	if v, ok := c.settings[http2.SettingInitialWindowSize]; ok {
		return int64(v)
	}
	return initialWindow
}

// frameSizeLocked returns the maximum frame size that the server accepts.
func (c *Conn) frameSizeLocked() int {
	if v, ok := c.settings[http2.SettingMaxFrameSize]; ok {
		return int(v)
	}
	return minFrameSize
}

// fields returns a request's pseudo-headers and headers.
func fields(r *http.Request, protocol string) []hpack.HeaderField {
	var all []hpack.HeaderField
	add := func(name, value string) { all = append(all, hpack.HeaderField{Name: name, Value: value}) }
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	add(":method", r.Method)
	add(":authority", host)
	if r.Method != http.MethodConnect || protocol != "" {
		add(":scheme", r.URL.Scheme)
		add(":path", r.URL.RequestURI())
	}
	if protocol != "" {
		add(":protocol", protocol)
	}
	for name, values := range r.Header {
		switch name = strings.ToLower(name); name {
		case ":protocol", "host", "content-length":
			continue
		case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
			continue // RFC 9113, 8.2.2
		}
		for _, v := range values {
			add(name, v)
		}
	}
	if r.ContentLength > 0 {
		add("content-length", strconv.FormatInt(r.ContentLength, 10))
	}
	return all
}

// headersLocked queues a header, in as many frames as needed.
func (c *Conn) headersLocked(id uint32, all []hpack.HeaderField, endStream bool) {
	c.headerBlock.Reset()
	for _, f := range all {
		_ = c.enc.WriteField(f) // cannot fail: it writes to a buffer
	}
	for first := true; first || c.headerBlock.Len() > 0; first = false {
		fragment := c.headerBlock.Next(c.frameSizeLocked())
		end := c.headerBlock.Len() == 0
		if first {
			_ = c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: fragment, EndHeaders: end, EndStream: endStream})
		} else {
			_ = c.fr.WriteContinuation(id, end, fragment)
		}
	}
	c.queued.Signal()
}
