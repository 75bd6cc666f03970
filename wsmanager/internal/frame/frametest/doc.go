// Package frametest makes frames as a client sends them, and records the events of a
// frame.Reader as text, for tests of the packages that read frames. It is imported by
// tests only.
package frametest
