package wsmanager

import (
	"fmt"
	"net/http"

	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
)

// accept calls OnAccept and validates its result.
func (m *Manager) accept(r *http.Request) (Accept, error) {
	if m.callbacks.OnAccept == nil {
		return Accept{}, nil
	}
	a, err := callOnAccept(m, r)
	if err != nil {
		return Accept{}, refuseAccept(err)
	}
	answer := handshake.Answer{Subprotocol: a.Subprotocol, Header: a.Header}
	if err := answer.Check(r); err != nil {
		return Accept{}, refuseAccept(err)
	}
	if err := a.check(m.opts.MaxGroups); err != nil {
		return Accept{}, refuseAccept(err)
	}
	return a, nil
}

// callOnAccept counts the calls that have not returned.
func callOnAccept(m *Manager, r *http.Request) (Accept, error) {
	m.accepting.Add(1)
	defer m.accepting.Add(-1)
	return m.callbacks.OnAccept(r)
}

// check validates the fields that are not part of the answer.
func (a *Accept) check(maxGroups int) error {
	for _, name := range a.Groups {
		if err := checkGroupName(name); err != nil {
			return err
		}
	}
	switch {
	case len(a.Groups) > maxGroups:
		return inContext(fmt.Sprintf("%d groups", len(a.Groups)), ErrTooManyGroups)
	case a.Variant >= MaxVariants:
		return fmt.Errorf("the variant %d is not below %d", a.Variant, MaxVariants)
	case a.SlowConsumer != 0 && !a.SlowConsumer.valid():
		return fmt.Errorf("the SlowConsumer %d does not exist", a.SlowConsumer)
	case a.Compression > CompressionOff:
		return fmt.Errorf("the Compression %d does not exist", a.Compression)
	}
	return nil
}
