package hub

import (
	"net/http"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// ErrExpired is [wsmanager.ErrExpired]: why a connection ended at its Identity.Expires.
var ErrExpired = wsmanager.ErrExpired

// expired reports whether the identity may not be used any longer.
func (i *Identity) expired() bool { return !i.Expires.IsZero() && !time.Now().Before(i.Expires) }

var errIdentityExpired = wsmanager.Reject(http.StatusUnauthorized, "The identity has expired.")

// expireAt ends the connection at a time, instead of at the one that was set before. The zero time is never.
func (c *conn) expireAt(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expiry != nil {
		c.expiry.Stop()
		c.expiry = nil
	}
	if !at.IsZero() && !c.closing {
		c.expiry = time.AfterFunc(time.Until(at), c.expire)
	}
}

// expire ends the connection and lets the client reconnect with a new token.
func (c *conn) expire() {
	c.close(&Close{AllowReconnect: true}, wsmanager.StatusNormalClosure, ErrExpired)
}
