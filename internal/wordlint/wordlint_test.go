package wordlint_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/wordlint"
)

// testWordList is a list for tests.
func testWordList(t *testing.T) *wordlint.List {
	t.Helper()
	list, err := wordlint.ParseList([]byte("# forms\n\n\\b(red|green)\\b\n\\bwhat (is|was)\\b\n"))
	require.NoError(t, err)
	return list
}

func TestParseList(t *testing.T) {
	_, err := wordlint.ParseList([]byte("# forms\nfine\n(open\n"))
	require.ErrorContains(t, err, "line 3: ")
}

func TestGoFile(t *testing.T) {
	type hits = []wordlint.Hit
	for name, test := range map[string]struct {
		src  string // after the package clause, from line 2
		want hits
	}{
		"a comment":                     {"// F is red.\nfunc F() {}", hits{{2, "red"}}},
		"a comment beside code":         {"var a = 1 // it is Red", hits{{2, "Red"}}},
		"a block comment":               {"/*\nfirst\nsecond is green\n*/", hits{{4, "green"}}},
		"a form across lines":           {"// It says what\n// is sent, and what\n//   was.\nvar a int", hits{{2, "what is"}, {3, "what was"}}},
		"comments that are no group":    {"// It says what\n\n// is sent.", nil},
		"two comments of a group":       {"/* red */ /* blue */\n// green\nvar a int", hits{{2, "red"}, {3, "green"}}},
		"code in a comment":             {"// For example:\n//\n//\tred := 1\n//\n// That is green.\nvar a int", hits{{6, "green"}}},
		"a directive":                   {"//go:generate paint red\nvar a int", nil},
		"the reason of a nolint":        {"var a int //nolint:unused // it is red", hits{{2, "red"}}},
		"a part of a word":              {"// The redder, the greener, what isn't.\nvar a int", nil},
		"identifiers":                   {"type Red struct{ green int }\n\nfunc (red Red) Green() int { return red.green }", nil},
		"an import path":                {"import red \"example.com/red\"\n\nvar _ = red.X", nil},
		"a struct tag":                  {"type T struct {\n\tA string `json:\"red\"` // green\n}", hits{{4 - 1, "green"}}},
		"an error":                      {"var a = errors.New(\"a red one\")", hits{{2, "red"}}},
		"a wrapped error":               {"var a = fmt.Errorf(\n\t\"what is %w\", err)", hits{{3, "what is"}}},
		"a log record":                  {"func f() { slog.Warn(\"closed\", \"reason\", \"red\") }", hits{{2, "red"}}},
		"a logger's method":             {"func f() { l.log.LogAttrs(ctx, level, \"green\", slog.String(\"a\", \"b\")) }", hits{{2, "green"}}},
		"package log":                   {"func f() { log.Printf(\"%d red\", 1); log.Fatal(\"green\") }", hits{{2, "red"}, {2, "green"}}},
		"a panic":                       {"func f() { panic(\"red\") }", hits{{2, "red"}}},
		"another function":              {"var a = mistake(\"red\")", hits{{2, "red"}}},
		"a raw literal":                 {"var a = `x\nred\n`", hits{{3, "red"}}},
		"an escaped line end":           {"var a = \"x\\nwhat\\nis\\nred\"", hits{{2, "red"}, {2, "what is"}}},
		"a concatenation":               {"var a = \"what \" +\n\t\"is this\"", hits{{2, "what is"}}},
		"a concatenation with a call":   {"var a = \"what \" + f(\"red\") + \"is this\"", hits{{2, "red"}}},
		"a literal in a function there": {"var a = errors.New(f(func() string { return \"red\" }))", hits{{2, "red"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := testWordList(t).GoFile("a.go", []byte("package a\n"+test.src+"\n"))
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
	_, err := testWordList(t).GoFile("a.go", []byte("no Go\n"))
	require.Error(t, err)
}

// In a test file, literals are data unless they are texts of errors and logs.
func TestGoFileOfTests(t *testing.T) {
	for src, want := range map[string][]wordlint.Hit{
		`var a = "red"`: nil,
		`func TestA(t *testing.T) { require.Equal(t, "red", "green" + a) }`:      nil,
		`func TestA(t *testing.T) { send("red"); t.Fatalf("%s is green", "x") }`: {{2, "green"}},
		`var a = errors.New("red")`:                                 {{2, "red"}},
		`var a = f("red", fmt.Errorf("what "+"is %w", g("green")))`: {{2, "what is"}, {2, "green"}},
		"// It is red.": {{2, "red"}},
	} {
		got, err := testWordList(t).GoFile("a_test.go", []byte("package a\n"+src+"\n"))
		require.NoError(t, err)
		require.Equal(t, want, got, src)
	}
}

func TestMarkdown(t *testing.T) {
	page := "# The red page\n" +
		"\n" +
		"It says what\n" +
		"is green. `red`, and `go run\n" +
		"green`, are code.\n" +
		"```go\n" +
		"red := green\n" +
		"```\n" +
		"- ~~~ is text, what was it\n" +
		"\n" +
		"  ```\n" +
		"  green\n" +
		"  ```\n" +
		"~~~\n" +
		"``` red\n" +
		"~~~\n" +
		"[a red link](green.md)\n"
	require.Equal(t, []wordlint.Hit{
		{1, "red"}, {3, "what is"}, {4, "green"}, {9, "what was"}, {17, "red"}, {17, "green"},
	}, testWordList(t).Markdown([]byte(page)))
}

func TestParseEntries(t *testing.T) {
	const head = "# About the file.\n\n"
	list, err := wordlint.ParseEntries([]byte(head + "# A quotation of\n# the RFC.\na.go: what is\nb.md: \"red\": blue\n\n# Later.\nc\n"))
	require.NoError(t, err)
	require.Equal(t, []wordlint.Entry{
		{"a.go", "what is", "A quotation of the RFC."},
		{"b.md", "\"red\": blue", "A quotation of the RFC."},
		{"c", "", "Later."},
	}, list)
	list, err = wordlint.ParseEntries([]byte("# About the file.\n"))
	require.NoError(t, err)
	require.Empty(t, list)
	for text, want := range map[string]string{
		"a.go: red\n":                                    `"a.go: red" has no comment with its reason`,
		"# Why.\na.go: red\n\nb.go: red\n":               `"b.go: red" has no comment with its reason`,
		"# Why.\na.go: red\n\n# Because.\na.go: red\n":   `"a.go: red" is listed twice`,
		"# Why.\na.go: red\n# Because.\n\na.go: green\n": `"a.go: green" has no comment with its reason`,
	} {
		_, err := wordlint.ParseEntries([]byte(head + text))
		require.ErrorContains(t, err, want)
	}
}

func TestJudge(t *testing.T) {
	files := map[string]source{
		"p/a.go":   {[]string{"", "// a red one", "// a green one"}, []wordlint.Hit{{2, "red"}, {3, "green"}}},
		"p/q/b.go": {[]string{"// green"}, []wordlint.Hit{{1, "green"}}},
		"c.md":     {[]string{"red"}, []wordlint.Hit{{1, "red"}}},
		"clean.md": {[]string{"blue"}, nil},
		"r/d.go":   {[]string{"// blue"}, nil},
	}
	type entries = []wordlint.Entry
	entry := func(path, text string) entries { return entries{{Path: path, Text: text, Reason: "it is a test"}} }
	all := []string{`c.md:1: "red" is in words.txt`, `p/a.go:2: "red" is in words.txt`, `p/a.go:3: "green" is in words.txt`, `p/q/b.go:1: "green" is in words.txt`}
	for name, test := range map[string]struct {
		exceptions, pages entries
		want              []string
	}{
		"no lists":                      {nil, nil, all},
		"an exception":                  {entry("p/a.go", "a red"), nil, []string{all[0], all[2], all[3]}},
		"an exception of another line":  {entry("p/a.go", "blue"), nil, append(all[:4:4], `exceptions.txt: p/a.go "blue" allows nothing; remove the line`)},
		"an exception for a whole file": {entry("p/a.go", ""), nil, []string{all[0], all[3], "exceptions.txt: p/a.go: say which text is allowed"}},
		"a page":                        {nil, entry("c.md", ""), all[1:]},
		"a clean page":                  {nil, entry("clean.md", ""), append(all[:4:4], `pages.txt: clean.md "" allows nothing; remove the line`)},
		"a page that is a Go file":      {nil, entry("p/a.go", ""), append(all[:4:4], `pages.txt: p/a.go "" allows nothing; remove the line`)},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, unlistedOccurrences(files, test.exceptions, test.pages))
		})
	}
}
