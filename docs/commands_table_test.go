//go:build linux

package docs_test

import "net/http"

// notRun lists the commands of pages that TestCommandsRun does not run, with the reason.
var notRun = map[string]string{
	"go test work":                   "contains this test",
	".ci/run":                        "contains this test",
	".ci/run fast":                   "contains this test",
	".ci/run race":                   "contains this test",
	".ci/run long":                   "contains this test",
	"go test -run '/h2' ./wsmanager": "the package's tests run them",
	"go test -cover ./branch ./pipeline ./wsmanager":                              "the packages' tests run them",
	"FUZZTIME=5m SOAK=10m .ci/run":                                                "contains this test",
	"SPEAKINGTUBE_CONFORMANCE=all go test -run '^TestConformance' -v ./wsmanager": "takes minutes; the cases that don't are run by the package's tests",
	"go get github.com/speakingtube/speakingtube":                                 "gets what is published, not what is here",
	"go run ./internal/release check":                                             "the part fast of .ci/run runs it; it downloads modules into an empty cache",
	"go run ./internal/release api":                                               "the part fast of .ci/run runs it; during a change it may fail until the baseline is renewed",
	"go run ./internal/release api -renew":                                        "writes the baseline; the package's tests run it on a repository of theirs",
	"go run ./internal/release tags":                                              "the package's tests run it on a repository of theirs",
	"go run ./internal/release version v0.3.0":                                    "writes go.mod files; the package's tests run it on a repository of theirs",
	"go get": "is followed by the reader's module; .ci/run does it for each library module of this repository",
	"go get github.com/speakingtube/speakingtube/wsmanager/hub/msgpack": "gets what is published, not what is here",
	"go run ./examples/hub -typescript":                                 "writes a file and ends; the package's tests run it",
	"npm install @microsoft/signalr":                                    "gets the newest from a registry; the tests of examples/hub run one that is pinned",
	"dotnet new web":                                                    "is ASP.NET Core's",
	"dotnet run":                                                        "is ASP.NET Core's",
	"dotnet add package Microsoft.AspNetCore.SignalR.Client":            "is ASP.NET Core's",
	"ulimit -n":                               "shows or sets a limit of the reader's shell",
	"cat /proc/PID/limits":                    "PID is the reader's",
	"sysctl net.ipv4.ip_local_port_range":     "shows a setting of the machine",
	"sysctl net.netfilter.nf_conntrack_count": "shows a setting of the machine",
	"docker stop -t 35":                       "is about a container of the reader's",
}

// short lists flags that shorten the run of a program. They follow the flags of the page,
// because the last occurrence of a flag counts.
var short = map[string][]string{
	"./examples/loadtest":            {"-connections", "10", "-duration", "300ms"},
	"./examples/benchmarks":          {"-check"},
	"./examples/benchmarks/peers":    {"-quick", "-rounds", "1", "-only", "event loop,gws"},
	"./examples/benchmarks/batches":  {"-n", "5", "-many", "5", "-broadcasts", "100", "-lone", "2", "-probes", "5", "-repeats", "1", "-rounds", "1"},
	"./examples/benchmarks/blocking": {"-n", "5", "-rate", "50", "-sleepers", "2", "-blocked", "3", "-warm-up", "100ms", "-duration", "200ms", "-rounds", "1", "-deadline", "100ms"},
	"./examples/benchmarks/drain":    {"-n", "20", "-duration", "300ms", "-echo", "100ms", "-broadcasts", "50ms"},
	"./examples/benchmarks/soak":     {"-warm-up", "200ms", "-duration", "200ms", "-round", "200ms", "-connections", "5", "-rate", "50", "-faulty", "4"},
	"./examples/benchmarks/stalled":  {"-n", "20", "-warm-up", "100ms", "-duration", "200ms", "-rounds", "1", "-policy", "drop oldest", "-flood", "65536", "-close-timeout", "200ms"},
}

// servers lists the programs that print their address and have a flag -addr, with the HTTP
// status of their page. The tutorial's programs do neither.
var servers = map[string]int{
	"./examples/chat": http.StatusOK,
	"./examples/echo": http.StatusNotFound, // it has no page
	"./examples/hub":  http.StatusOK,
}

// first is README's first program, in a module of the reader's own. inOwnModule lists the
// commands for it.
const first = "the first program"

var inOwnModule = []string{
	"go mod init example.com/first",
	"go mod edit -replace github.com/speakingtube/speakingtube=/path/to/clone",
	"go mod tidy",
	"go run .",
}

// behind lists commands for servers of the reader's, and the server that they get here. All
// other clients follow their server on the page, or are in the section of the tutorial's
// program.
var behind = map[string]string{
	"curl 'http://127.0.0.1:8080/?count'":                                    first,
	"go run ./examples/console -url ws://127.0.0.1:8080/ws":                  first,
	"go run ./examples/loadtest -url ws://127.0.0.1:8080/ws -mode broadcast": first,
	`loadtest -url wss://staging.example.com/ws -mode broadcast -connections 500 -rate 20 -duration 30s -header "Authorization: Bearer $TOKEN" -quiet -json summary.json`: first,
	"go run ./examples/loadtest -url wss://chat.example.com/echo -connections 2 -rate 2 -duration 5s -quiet":                                                              "go run ./examples/echo",
}
