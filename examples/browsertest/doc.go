// Package browsertest has no code: its tests run the examples' pages in a real
// browser. It is a module of its own, so that the library does not require a browser
// driver.
//
// The tests need Chromium (Debian's package chromium, or any browser whose path
// is in the environment variable CHROMIUM). Without it they are skipped, or fail if
// SPEAKINGTUBE_REQUIRE_ALL is 1.
//
// If SPEAKINGTUBE_SCREENSHOTS names a directory, the tests save screenshots there. The
// README shows chat.png, and docs/signalr.md hub.png.
package browsertest
