package wsmanager

import "net/http"

// SetAutoDriver chooses what DriverAuto means from now on, for servers and clients.
func SetAutoDriver(d Driver) { autoDriver, autoDialDriver = d, d }

// SpeakH2 makes a server understand HTTP/2 without TLS beside HTTP/1.1.
func SpeakH2(srv *http.Server) {
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
}
