// Package exampletest has what tests of example programs share: the program itself
// running inside the test, what it prints, and the other programs that a test needs.
package exampletest
