package wsmanager

import "fmt"

// CloseError describes how a connection ended. OnClose gets one for each end that was not
// orderly. OnConnect and OnMessage may return one to choose the code and the reason that the
// peer reads.
type CloseError struct {
	Code   StatusCode // as sent or received; 1006 if there was no close frame
	Reason string     // as sent or received
	Remote bool       // the peer ended the connection
	Err    error      // the cause, nil if the code says it all
}

// Error implements error.
func (e *CloseError) Error() string {
	by := "here"
	if e.Remote {
		by = "by the peer"
	}
	s := fmt.Sprintf(prefix+"closed %s with %d", by, e.Code)
	if e.Reason != "" {
		s += fmt.Sprintf(" (%q)", e.Reason)
	}
	if e.Err != nil {
		s += ": " + withoutPrefix(e.Err)
	}
	return s
}

// Unwrap returns the cause.
func (e *CloseError) Unwrap() error { return e.Err }

// orderly reports whether OnClose gets nil.
func (e *CloseError) orderly() bool {
	return e.Err == nil && (e.Code == StatusNormalClosure || e.Code == StatusGoingAway || e.Code == StatusNoStatusReceived)
}

// callbackError returns the error for OnClose.
func (e *CloseError) callbackError() error {
	if e == nil || e.orderly() {
		return nil
	}
	return e
}
