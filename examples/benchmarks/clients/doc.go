// Package clients contains only tests: clients of other WebSocket libraries connect to a
// Manager with compression, and our client connects to their servers. They are in this
// module because it requires these libraries.
package clients
