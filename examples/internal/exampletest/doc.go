// Package exampletest has helpers for the tests of example programs: it runs the program
// inside the test, records its output, and finds other programs that a test needs.
package exampletest
