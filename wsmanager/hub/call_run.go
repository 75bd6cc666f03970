package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"runtime/debug"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// run runs a call and sends its answer, unless the result is a stream: that goes on in resultStream. It returns the next call
// for this goroutine, or nil.
func (k *call) run() (next *call) {
	clock := &k.c.hub.sessions
	start := clock.now()
	returned := false
	defer func() {
		if !returned && k.stream == nil {
			k.exited()
		}
		if k.problem == "" { // otherwise clients could make a slow method look short
			k.method.pace.Record(clock.now() - start)
		}
		if k.stream != nil {
			return
		}
		if next = k.end(); next != nil && !returned { // the method has ended the goroutine
			k.c.hub.running.run(next.serve)
		}
	}()
	k.runMethod()
	returned = true
	return nil
}

// end ends a call that has been answered. It returns the next one, as finish does.
func (k *call) end() (next *call) {
	k.c.hub.counters.called(&k.answer.Completion)
	return k.finish()
}

var errExited = errors.New("the method, hook or handler has ended its goroutine")

// exited answers a call whose method has ended its goroutine with runtime.Goexit.
func (k *call) exited() {
	k.unregister()
	if k.inv.ID != "" {
		k.answer = answerMessage{Completion: *k.failure(errExited)}
		k.answer.ID = k.inv.ID
		_ = k.reply(&k.answer, math.MaxInt) // a failure means that the connection is ending
	}
}

// runMethod calls the method and sends its answer.
func (k *call) runMethod() {
	answer := &k.answer
	switch cause := k.life.Cause(); {
	case k.problem != "":
		answer.Error = k.problem
	case cause == ErrCanceled && !k.inv.Stream:
		answer.Error = "The invocation was canceled."
	case cause != nil && cause != ErrCanceled: // a stream that the client has canceled already begins nevertheless
	default:
		k.makeAnswer(answer)
	}
	if k.stream == nil {
		k.sendAnswer()
	}
}

// sendAnswer sends the answer, if the client waits for it.
func (k *call) sendAnswer() {
	answer := &k.answer
	k.unregister()
	if answer.ID = k.inv.ID; answer.ID == "" {
		return
	}
	limit := k.c.hub.opts.MaxSendSize
	if k.problem != "" || answer.Error == "" && !answer.hasResult {
		limit = math.MaxInt // a text of this package, which repeats the call at most, or no data
	}
	err := k.reply(answer, limit)
	answer.result = nil // the call may live as long as its context
	if err != nil && unsendable(err) {
		*answer = answerMessage{Completion: *k.failure(err)}
		answer.ID = k.inv.ID
		_ = k.reply(answer, math.MaxInt) // as above; a failure means that the connection is ending
	}
}

// unsendable reports whether an error of a send is one of its message. All others mean that the connection is ending.
func unsendable(err error) bool {
	var unencodable *encodingError
	return errors.As(err, &unencodable) || errors.Is(err, wsmanager.ErrMessageTooBig) ||
		errors.Is(err, wsmanager.ErrInvalidUTF8) || errors.Is(err, wsmanager.ErrMessageType)
}

// answerMessage is the answer of a call. Its result is encoded when it is sent.
type answerMessage struct {
	Completion
	result    any
	hasResult bool
}

// encode implements outgoing.
func (m *answerMessage) encode(p Protocol) ([]byte, error) {
	if m.hasResult {
		if _, ok := p.(jsonProtocol); ok {
			if record, ok := appendPlainCompletion(m.ID, m.result); ok {
				return record, nil
			}
		}
		raw, err := encodeResult(p, m.result)
		if err != nil {
			return nil, err
		}
		m.Result = raw
		defer func() { m.Result = nil }() // not needed while the record waits
	}
	return p.Append(nil, &m.Completion)
}

// reply sends the answer. It recovers from panics of the result's type.
func (k *call) reply(answer *answerMessage, limit int) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &encodingError{&panicError{v, debug.Stack()}}
		}
	}()
	return k.c.writeMessage(k.c.ctx, answer, limit)
}

// makeAnswer calls the method and makes the answer, or starts the stream of results. It recovers from panics of the method.
func (k *call) makeAnswer(answer *answerMessage) {
	defer k.recovered(answer)
	result, err := k.execute()
	if err == nil {
		err = k.uploadError()
	}
	switch {
	case err != nil:
	case k.method.result == streamResult:
		err = k.startStream(result)
	case k.method.result == oneResult:
		answer.result, answer.hasResult = result, true
	default:
		answer.Result = Raw{} // null: the .NET client requires a result from a method without one
	}
	if err != nil {
		answer.Completion = *k.failure(err)
	}
}

// recovered is deferred: a panic becomes the answer.
func (k *call) recovered(answer *answerMessage) {
	if v := recover(); v != nil {
		answer.Completion = *k.failure(&panicError{v, debug.Stack()})
	}
}

// encodeResult encodes a result. A Completion with a nil Raw would have none.
func encodeResult(p Protocol, result any) (Raw, error) {
	raw, err := p.Encode(result)
	if err != nil {
		return nil, fmt.Errorf("encoding the result: %w", err)
	}
	if raw == nil {
		raw = Raw{}
	}
	return raw, nil
}

// panicError is the value of a recovered panic.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// unauthorizedError is an error of Method.Authorize.
type unauthorizedError struct{ err error }

func (e *unauthorizedError) Error() string { return "not authorized: " + e.err.Error() }
func (e *unauthorizedError) Unwrap() error { return e.err }

func failedToInvoke(method string) string {
	return "Failed to invoke '" + method + "' due to an error on the server."
}

func unexpectedError(method string) string {
	return "An unexpected error occurred invoking '" + method + "' on the server."
}

// failure logs an error of the call and makes the answer, which has the part of the error that the client may know. The
// texts are those of ASP.NET Core.
func (k *call) failure(err error) *Completion {
	h, name := k.c.hub, k.inv.Target
	if failed := k.uploadError(); failed != nil && errors.Is(err, context.Canceled) {
		err = failed // the method returned the error of its context
	}
	text, public := publicText(err)
	detail, level := err, slog.LevelError
	var bad *bindError
	var denied *unauthorizedError
	var panicked *panicError
	var failed *streamError
	switch {
	case public:
		level = slog.LevelDebug // the client gets the whole text
	case errors.As(err, &denied):
		text, level = "Failed to invoke '"+name+"' because user is unauthorized", slog.LevelWarn
	case errors.As(err, &bad):
		text, detail, level = failedToInvoke(name)+" "+bad.text, bad.err, slog.LevelInfo
	case errors.As(err, &failed) && failed.call == k: // the client reads only its own text
		text, level, public = unexpectedError(name)+" HubException: "+failed.remote.Text, slog.LevelInfo, true
	case k.life.Cause() != nil:
		level = slog.LevelDebug // the method was told to stop
		if k.inv.Stream && k.life.Cause() == ErrCanceled {
			return &Completion{} // the client has asked for the end of the stream
		}
		fallthrough
	default:
		text = unexpectedError(name)
	}
	attrs := []slog.Attr{slog.String("method", k.method.name), k.c.logID(), slog.Any("err", logged(err))}
	if errors.As(err, &panicked) {
		attrs = append(attrs, slog.String("stack", string(panicked.stack)))
	}
	h.logger().LogAttrs(k.ctx, level, "hub method failed", attrs...)
	return &Completion{Error: h.detailed(text, detail, public)}
}

// detailed adds an error's text to the text for the client if Options.DangerouslyDetailedErrors is set.
func (h *Hub) detailed(text string, err error, public bool) string {
	if h.opts.DangerouslyDetailedErrors && !public {
		return text + " " + err.Error()
	}
	return text
}

// execute decodes the arguments and calls the method through authorization and filters.
func (k *call) execute() (any, error) {
	m := k.method
	in, err := m.bind(k.in[:], k.c.session.protocol, k.inv, k.uploads)
	if err != nil {
		return nil, err
	}
	k.inv.Arguments = nil // frees them: a stream may last long
	filters := k.c.hub.opts.Filters
	if m.authorize == nil && len(filters) == 0 {
		return m.call(k.ctx, in)
	}
	c := &Call{ctx: k.ctx, method: m, args: m.arguments(in)}
	if m.authorize != nil {
		if err := m.authorize(c); err != nil {
			return nil, &unauthorizedError{err}
		}
	}
	next := func() (any, error) { return m.call(k.ctx, in) }
	for i := len(filters) - 1; i >= 0; i-- {
		filter, inner := filters[i], next
		next = func() (any, error) { return filter(c, inner) }
	}
	return next()
}

// call calls the Go function with the result of bind.
func (m *method) call(ctx context.Context, in []reflect.Value) (any, error) {
	if m.ctx != noContext {
		in[0] = reflect.ValueOf(ctx)
	}
	out := m.fn.Call(in)
	var err error
	if m.hasError {
		err, _ = out[len(out)-1].Interface().(error)
	}
	if m.result == noResult {
		return nil, err
	}
	return out[0].Interface(), err
}
