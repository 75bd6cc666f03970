// Package harness is what the programs of this module share: a server in a process
// of its own, cheap WebSocket clients by the thousand, and figures about both.
package harness
