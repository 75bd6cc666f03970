package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"
)

// DrainTimeout is the time for which [Serve] waits for requests and drains after its
// context has ended. It is below the 30 seconds that process managers usually grant between
// the first signal and the kill.
const DrainTimeout = 25 * time.Second

// drainGrace is the time after the deadline for which a drain may still return its error.
const drainGrace = 2 * time.Second

// Defaults that Serve sets for zero fields of the server. net/http itself has no limits for
// these.
const (
	defaultReadHeaderTimeout = 5 * time.Second
	defaultMaxHeaderBytes    = 64 << 10
	defaultIdleTimeout       = 2 * time.Minute
)

// Serve listens on srv.Addr (":http" if empty) and serves until ctx ends; then it shuts
// down gracefully. It stops accepting, runs every drain and srv.Shutdown concurrently
// within [DrainTimeout], waits for all of them, and closes the remaining connections. Use a
// drain for everything that net/http does not know: pass the Shutdown method of each
// wsmanager.Manager, because net/http ignores hijacked connections. A handler that streams
// for any time has to end by itself: [Draining] tells it when.
//
// It does not handle signals: create ctx with signal.NotifyContext(ctx, os.Interrupt,
// syscall.SIGTERM).
//
// It sets srv.ReadHeaderTimeout (5 s), srv.MaxHeaderBytes (64 KiB) and srv.IdleTimeout (2
// min) if they are zero and srv.ReadTimeout does not apply instead. Without srv.ReadTimeout
// bodies of requests have to come at a minimum rate, see [MinBodyRate]; for another rate put a
// MinBodyRate into the pipeline. With srv.TLSConfig set it serves TLS with the certificates in
// it. A Server can be served once.
//
// It returns nil after a graceful shutdown. Otherwise it returns a joined error: the reason
// why the server stopped by itself (the drains run in that case too) and everything that
// did not end in time.
func Serve(ctx context.Context, srv *http.Server, drain ...func(context.Context) error) error {
	addr := srv.Addr
	if addr == "" {
		addr = ":http"
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	return ServeListener(ctx, ln, srv, drain...)
}

// ServeListener is [Serve] on a listener that is already open. It closes the listener.
func ServeListener(ctx context.Context, ln net.Listener, srv *http.Server, drain ...func(context.Context) error) error {
	for i, f := range drain {
		if f == nil {
			_ = ln.Close()
			return fmt.Errorf("pipeline: drain number %d is nil", i+1)
		}
	}
	useTLS := srv.TLSConfig != nil
	if c := srv.TLSConfig; useTLS && len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil {
		_ = ln.Close()
		return errors.New("pipeline: srv.TLSConfig has no certificate: set Certificates, GetCertificate or GetConfigForClient, or leave TLSConfig nil for plain HTTP (a Server that has served before has one: take a new Server)")
	}
	if srv.ReadHeaderTimeout == 0 && srv.ReadTimeout == 0 { // ReadTimeout applies instead
		srv.ReadHeaderTimeout = defaultReadHeaderTimeout
	}
	if srv.MaxHeaderBytes == 0 {
		srv.MaxHeaderBytes = defaultMaxHeaderBytes
	}
	if srv.IdleTimeout == 0 && srv.ReadTimeout == 0 {
		srv.IdleTimeout = defaultIdleTimeout
	}
	if srv.ReadTimeout == 0 { // it bounds bodies instead
		handler := srv.Handler
		if handler == nil {
			handler = http.DefaultServeMux
		}
		srv.Handler = MinBodyRate(BodyRate{})(handler)
	}
	begin := announceDrain(srv)
	served := make(chan error, 1)
	go func() {
		if useTLS {
			served <- srv.ServeTLS(ln, "", "")
		} else {
			served <- srv.Serve(ln)
		}
	}()

	var errs []error
	running := true
	select {
	case err := <-served:
		running = false
		if !errors.Is(err, http.ErrServerClosed) { // the application called Shutdown: shut down with it
			errs = append(errs, fmt.Errorf("pipeline: the server stopped: %w", err))
		}
	case <-ctx.Done():
	}

	begin()
	// ctx has ended; its values may still be needed.
	dctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), DrainTimeout)
	defer cancel()
	errs = append(errs, drainAll(dctx, append(slices.Clip(drain), srv.Shutdown))...)
	if err := srv.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		errs = append(errs, fmt.Errorf("pipeline: closing the server: %w", err))
	}
	if running {
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, fmt.Errorf("pipeline: the server stopped: %w", err))
		}
	}
	return errors.Join(errs...)
}

// drainAll runs the functions concurrently, the server's own last, and waits for all. It
// waits drainGrace longer for those that ignore their context.
func drainAll(ctx context.Context, fs []func(context.Context) error) (errs []error) {
	results := make(chan error, len(fs))
	for i, f := range fs {
		go func() {
			err := f(ctx)
			if err != nil {
				what := fmt.Sprintf("drain number %d", i+1)
				if i == len(fs)-1 {
					what = "http.Server.Shutdown"
				}
				err = fmt.Errorf("pipeline: %s: %w", what, err)
			}
			results <- err
		}()
	}
	overdue := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(drainGrace, func() { close(overdue) })
	})()
	for left := len(fs); left > 0; left-- {
		select {
		case err := <-results:
			if err != nil {
				errs = append(errs, err)
			}
		case <-overdue:
			return append(errs, fmt.Errorf("pipeline: draining: %d drains have not returned: %w", left, ctx.Err()))
		}
	}
	return errs
}
