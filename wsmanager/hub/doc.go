// Package hub lets client and server call each other's methods.
package hub
