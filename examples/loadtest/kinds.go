package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// tally counts errors by kind.
type tally struct {
	mu    sync.Mutex // guards the fields below
	kinds map[string]int
	total int
}

func (t *tally) add(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kinds == nil {
		t.kinds = make(map[string]int)
	}
	t.kinds[kind]++
	t.total++
}

func (t *tally) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

// kindCount is the number of errors of one kind.
type kindCount struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
}

// list returns the kinds in descending order of their counts.
func (t *tally) list() []kindCount {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := []kindCount{} // an empty list in JSON, not null
	for kind, n := range t.kinds {
		list = append(list, kindCount{kind, n})
	}
	slices.SortFunc(list, func(a, b kindCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind))
	})
	return list
}

// dialKind returns the reason of a failed dial without details of one connection, such as
// its port, so that equal reasons can be counted.
func dialKind(err error) string {
	var (
		refused *wsmanager.RefusedError
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &refused):
		by := ""
		if refused.Proxy {
			by = " by the proxy"
		}
		return fmt.Sprintf("handshake refused%s with %d %s", by, refused.StatusCode, http.StatusText(refused.StatusCode))
	case errors.Is(err, wsmanager.ErrHandshake):
		return "the server's answer is not a WebSocket handshake"
	case errors.As(err, &cert):
		return "the server's certificate is not trusted (-insecure accepts it): " + innermost(cert.Err).Error()
	case errors.As(err, &dns):
		return "host not found: " + dns.Name
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many open files (see ulimit -n)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no free local port: one address has some 28,000 for connections to one server"
	}
	return networkKind(err)
}

// closeKind returns the reason for which a connection ended during the load.
func closeKind(err error) string {
	var ce *wsmanager.CloseError
	switch {
	case err == nil:
		return "the server closed the connection (1000, 1001 or no code)"
	case !errors.As(err, &ce):
		return err.Error()
	}
	if ce.Code == wsmanager.StatusAbnormalClosure {
		return "the connection broke: " + networkKind(ce.Err)
	}
	by := "closed by the server"
	if !ce.Remote {
		by = "closed by this side"
	}
	kind := fmt.Sprintf("%s with %d", by, ce.Code)
	if ce.Reason != "" {
		kind += fmt.Sprintf(" (%q)", ce.Reason)
	}
	if ce.Err != nil {
		kind += ": " + innermost(ce.Err).Error()
	}
	return kind
}

// networkKind returns the reason of a socket error.
func networkKind(err error) string {
	switch {
	case err == nil:
		return "unknown reason"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset by the server"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the server closed it without a close frame"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	return innermost(err).Error()
}

// innermost unwraps an error completely: the outer errors contain addresses.
func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
