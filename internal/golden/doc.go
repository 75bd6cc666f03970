// Package golden has no code, only a test: it replays requests that were sent to ASP.NET Core
// 10, on pipelines that do the same with the packages of this module, and compares the
// answers with those of ASP.NET Core.
//
// The folder testdata holds the requests (corpus.jsonl), the answers of ASP.NET Core
// (aspnet.jsonl) and of this module (ours.jsonl), the files that the pipelines of static files
// serve (fixture.json), and each field in which the answers differ, in classes with a
// reason (differences.json). The test holds that list in both directions. Run it with
// -renew to write ours.jsonl after a change that is meant.
package golden
