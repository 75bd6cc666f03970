package wsmanager

import "github.com/speakingtube/speakingtube/wsmanager/internal/frame"

// A client masks each frame that it sends (RFC 6455, section 5.3). keys is nil on the
// server's side.

// maskFrames makes m the Manager of a client. It must not have connections yet.
func (m *Manager) maskFrames() {
	m.keys = frame.NewMaskKeys()
	m.sending.Keys = m.keys
	m.broadcaster.Alone = true
}

// maxFrame returns the maximum length of a frame before it is masked, in bytes.
func (m *Manager) maxFrame() int { return m.opts.MaxFrame }
