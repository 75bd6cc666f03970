package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// proof is a row: what is promised, and the tests that show it.
type proof struct {
	promise string
	pkg     string // the tests' folder
	tests   []string
	more    func(*results) string // what the tests' output says beyond their number; or nil
}

// section is a table of rows.
type section struct {
	name   string
	proofs []proof
}

const (
	sockets = "wsmanager"
	serving = "pipeline"
)

var sections = []section{
	{"Conformance", []proof{
		{"Servers speak RFC 6455 and RFC 7692 to the letter: framing, control frames, reserved bits, fragments, UTF-8 up to the first invalid byte, every close code, limits, sizes, compression", sockets, []string{"TestConformance"}, nil},
		{"So do clients", sockets, []string{"TestConformanceOfTheClient"}, nil},
	}},
	{"Networks that fail", []proof{
		{"Delay, single bytes, pieces, coalescing, throttling harm nobody: the same messages, in order", sockets, []string{"TestFaultsThatHarmNobody"}, nil},
		{"Reset, half-close, stall, black hole: `OnClose` once, with the error and the code of the fault, on a server's connection and on one that was dialled", sockets, []string{"TestFaultsOfAServersConnection", "TestFaultsOfADialledConnection"}, nil},
		{"Cut anywhere in the handshake: nothing is left", sockets, []string{"TestFaultsInAHandshake"}, nil},
		{"Random faults on both sides while everything is broadcast: an `OnClose` for each `OnConnect`, no goroutine and no descriptor left", sockets, []string{"TestFaultStorm"}, numbers(`(\d+) connections of the server, (\d+) of clients`, "%s connections of the server and %s of clients survived")},
		{"A client that connects again loses nothing that it has not sent, and sends nothing twice", sockets, []string{"TestClientThroughFaults", "TestClientThroughRestarts"}, nil},
		{"`Shutdown` ends in time whatever the network does", sockets, []string{"TestShutdownAmongFaults"}, nil},
	}},
	{"Floods", []proof{
		{"Floods of pings, pongs, fragments, messages, deflate bombs: closed with the code of the limit, others are served meanwhile", sockets, []string{"TestFloods", "TestBombs", "TestMessageThatNeverEnds"}, nil},
		{"Thousands of half-open upgrades, header floods, clients that vanish: cut by `pipeline.Serve`, in time", serving, []string{"TestHalfOpenUpgrades", "TestHeaderFlood", "TestIdleHTTPConnections", "TestClientsThatVanish"}, nil},
		{"Connecting and vanishing leaves nothing; reading one byte a second is the policy's to end", sockets, []string{"TestConnectingAndVanishing", "TestReadingOneByteASecond"}, nil},
	}},
	{"Who may connect", []proof{
		{"Only the origins that may: ports, schemes, case, null, missing, IPv6, names that are not ASCII", sockets, []string{"TestOrigins", "TestOriginTricks"}, nil},
		{"Nothing that a handshake brings is put into headers, logs or answers; one sub-protocol, as agreed on", sockets, []string{"TestHeaderInjection", "TestLogInjection", "TestNothingIsRevealed", "TestSubprotocolConfusion"}, nil},
		{"No path dodges what stands in front of a branch", serving, []string{"TestGuardsHold", "TestGuardsHoldForAllCombinations", "TestUncleanPathsNeverReachAComponent"}, nil},
		{"Ids are 128 random bits and never meet", sockets, []string{"TestIDsAreRandom"}, nil},
	}},
	{"Nothing lost, nothing mixed up", []proof{
		{"While connections come and go, every message is delivered or counted as dropped, to the last one, in order", sockets, []string{"TestChurn"}, numbers(`received (\d+), gaps`, "%s messages read")},
		{"No byte reaches another than whom it is for, however often descriptors change hands", sockets, []string{"TestCanaries"}, numbers(`(\d+) connections; clients read (\d+) messages of their own and (\d+) to all`, "%s connections; %s messages for one and %s for all, none astray")},
	}},
	{"Callbacks and the end", []proof{
		{"A panic, `runtime.Goexit` or a block in any callback is its own connection's alone", sockets, []string{"TestCallbacksThatMisbehave", "TestShutdownWithACallbackThatBlocks"}, nil},
		{"While a callback runs, pings are answered and the peer's end ends `Context`; no message is lost, doubled or out of order, and no two callbacks run at a time", sockets, []string{"TestWhileACallbackRuns", "TestTakeoversUnderStress"}, nil},
		{"Every method may be called inside every callback, and after the end", sockets, []string{"TestEveryMethodInsideEveryCallback", "TestEveryMethodAfterTheEnd"}, nil},
		{"After `Shutdown` goroutines and descriptors are back at what they were", sockets, []string{"TestShutdownLeavesNoDescriptor", "TestShutdownLeavesNothing"}, nil},
	}},
}

// numbers adds up what tests have printed.
func numbers(line, format string) func(*results) string {
	pattern := regexp.MustCompile(line)
	return func(r *results) string {
		sums := make([]uint64, pattern.NumSubexp())
		for _, m := range pattern.FindAllStringSubmatch(r.printed, -1) {
			for i := range sums {
				sums[i] += number(m[i+1])
			}
		}
		var args []any
		for _, n := range sums {
			args = append(args, thousands(n))
		}
		return fmt.Sprintf(format, args...)
	}
}

// names are a row's tests, as the page has them.
func (p *proof) names() string {
	var list []string
	for _, test := range p.tests {
		list = append(list, "`"+test+"`")
	}
	return strings.Join(list, ", ")
}

// figure is what came of a row's tests: cases passed, with each way to serve.
func (p *proof) figure(r *results) (string, error) {
	var parts []string
	before := 0
	for _, way := range ways {
		n := 0
		for _, test := range p.tests {
			n += r.cases[caseKey{way.name, p.pkg, test}]
		}
		switch {
		case n == 0:
		case n == before && way.short != "":
			parts[len(parts)-1] += ", " + way.short
		default:
			part := thousands(uint64(n)) + " cases"
			if n == 1 {
				part = "1 case"
			}
			if way.short != "" {
				part += " × " + way.short
			}
			parts = append(parts, part)
			before = n
		}
	}
	for _, test := range p.tests {
		if !slices.ContainsFunc(ways, func(w way) bool { return r.cases[caseKey{w.name, p.pkg, test}] > 0 }) {
			return "", fmt.Errorf("%s of %s has not run", test, p.pkg)
		}
	}
	if p.more != nil {
		parts = append([]string{p.more(r)}, parts...)
	}
	return strings.Join(parts, "; "), nil
}
