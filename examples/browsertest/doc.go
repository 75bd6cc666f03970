// Package browsertest has no code: its tests run the examples' pages in a real
// browser. It is a module of its own, so that the library does not require a
// browser driver.
//
// The tests need Chromium (Debian's package chromium, or any browser whose path
// is in the environment variable CHROMIUM). Without it they are skipped, or fail
// where SPEAKINGTUBE_REQUIRE_ALL is 1.
//
// With SPEAKINGTUBE_SCREENSHOTS set to a folder the tests save what they saw
// there; the README's picture is chat.png of these, that of docs/signalr.md hub.png.
package browsertest
