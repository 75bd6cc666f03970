package deflate

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The grammar of RFC 6455, section 9.1, as regular expressions.
const (
	extToken = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	extValue = `(?:` + extToken + `|"(?:\\?[!#$%&'*+.^_` + "`" + `|~0-9A-Za-z-])+")`
	extOWS   = "[ \t]*"
	extParam = extToken + "(?:" + extOWS + "=" + extOWS + extValue + ")?"
	extItem  = extToken + "(?:" + extOWS + ";" + extOWS + extParam + ")*"
)

var (
	extList   = regexp.MustCompile("^" + extOWS + "(?:" + extItem + ")?" + extOWS + "(?:," + extOWS + "(?:" + extItem + ")?" + extOWS + ")*$")
	extItems  = regexp.MustCompile(extItem)
	extBits   = regexp.MustCompile("^(8|9|1[0-5]|)$")
	extParams = regexp.MustCompile(";" + extOWS + "(" + extToken + ")(?:" + extOWS + "=" + extOWS + "(" + extValue + "))?")
)

// expectedAnswer returns the answer to offers that it reads with these expressions.
func expectedAnswer(list string) string {
	for _, item := range extItems.FindAllString(list, -1) {
		name, rest, _ := strings.Cut(item, ";")
		if strings.Trim(name, " \t") != extensionName {
			continue
		}
		seen, good, bits15 := map[string]bool{}, true, false
		for _, p := range extParams.FindAllStringSubmatch(";"+rest, -1) {
			value := strings.NewReplacer(`"`, "", `\`, "").Replace(p[2])
			switch p[1] {
			case "server_no_context_takeover", "client_no_context_takeover":
				good = good && value == ""
			case "server_max_window_bits":
				good, bits15 = good && value == "15", true
			case "client_max_window_bits":
				good = good && extBits.MatchString(value)
			default:
				good = false
			}
			good = good && !seen[p[1]]
			seen[p[1]] = true
		}
		if !good {
			continue
		}
		answer := extensionName + "; server_no_context_takeover; client_no_context_takeover"
		if bits15 {
			answer += "; server_max_window_bits=15"
		}
		return answer
	}
	return ""
}

// FuzzExtensions compares Negotiate with regular expressions for the grammar: the
// first acceptable offer of a list is answered, and no offer of a malformed list.
func FuzzExtensions(f *testing.F) {
	for _, s := range []string{
		"", "permessage-deflate", "permessage-deflate; client_max_window_bits", "permessage-deflate;server_max_window_bits=15;client_max_window_bits=10",
		`permessage-deflate; client_max_window_bits="1\0"`, "permessage-deflate; server_max_window_bits=9, permessage-deflate", "x-mux; max=3, permessage-deflate; y, permessage-deflate",
		", ,permessage-deflate,,", "permessage-deflate;", "permessage-deflate; client_max_window_bits=", `permessage-deflate; a="`, "a b", "permessage-deflate, @", "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
		"\tpermessage-deflate ;\tclient_max_window_bits =  10 , ", `permessage-deflate; client_max_window_bits=""`, "permessage-deflate; client_max_window_bits=08", `a;b="\`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		if len(list) > 4<<10 {
			return // the regular expressions are slow
		}
		got := Negotiate([]string{list})
		want := ""
		if extList.MatchString(list) {
			want = expectedAnswer(list)
		}
		require.Equal(t, want, got)
		// A field in several lines is the same list.
		require.Equal(t, got, Negotiate(strings.Split(list, ",")))
	})
}
