// Package backoff has the arithmetic of a client's attempts to reconnect: how long it waits
// before each. It sets no timer and makes no attempt. wsmanager.Reconnect describes the delays
// for applications.
package backoff
