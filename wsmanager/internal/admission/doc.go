// Package admission decides how many connections a Manager may have, and knows those that a
// shutdown has to end. It opens and closes nothing, and it does not know what a connection is:
// a Gate works for any comparable type.
package admission
