// Package clients has no code: its tests let the WebSocket clients of other libraries
// talk to a Manager with compression on, and our client to their servers. They are here
// because this module requires other libraries already.
package clients
