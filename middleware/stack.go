package middleware

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// stackFrame is one call of a stack, for display.
type stackFrame struct {
	Func   string       `json:"func"`
	File   string       `json:"file"`
	Line   int          `json:"line"`
	Source []sourceLine `json:"source,omitempty"` // around Line, if the file exists on this machine
}

// sourceLine is a line of an excerpt.
type sourceLine struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
	Here   bool   `json:"here,omitempty"`
}

// frameGroup is a run of frames of the application, or of libraries, which are folded.
type frameGroup struct {
	Library bool         `json:"library,omitempty"`
	Frames  []stackFrame `json:"frames"`
}

// framesOf returns the stack beginning with the call that panicked, without the runtime's
// frames for the panic itself. Excerpts have context lines before and after.
func framesOf(pcs []uintptr, context int) []frameGroup {
	var frames []runtime.Frame
	panicking := -1
	for it := runtime.CallersFrames(pcs); len(pcs) > 0; {
		frame, more := it.Next()
		if frame.Function == "runtime.gopanic" && panicking < 0 {
			panicking = len(frames)
		}
		frames = append(frames, frame)
		if !more {
			break
		}
	}
	frames = frames[panicking+1:]
	for len(frames) > 1 && strings.HasPrefix(frames[0].Function, "runtime.") {
		frames = frames[1:] // sigpanic, panicmem, goPanicIndex ...
	}
	var groups []frameGroup
	for _, frame := range frames {
		f := stackFrame{Func: frame.Function, File: frame.File, Line: frame.Line}
		library := isLibrary(frame)
		if !library {
			f.Source = excerpt(frame.File, frame.Line, context)
		}
		if len(groups) == 0 || groups[len(groups)-1].Library != library {
			groups = append(groups, frameGroup{Library: library})
		}
		g := &groups[len(groups)-1]
		g.Frames = append(g.Frames, f)
	}
	return groups
}

// isLibrary distinguishes calls of the standard library, and of this one, from the
// application's.
func isLibrary(frame runtime.Frame) bool {
	pkg, _, _ := strings.Cut(frame.Function[strings.LastIndexByte(frame.Function, '/')+1:], ".")
	pkg = frame.Function[:strings.LastIndexByte(frame.Function, '/')+1] + pkg
	switch pkg {
	case "main":
		return false
	case "github.com/speakingtube/speakingtube/pipeline", "github.com/speakingtube/speakingtube/branch", "github.com/speakingtube/speakingtube/middleware",
		"github.com/felixge/httpsnoop", "github.com/justinas/alice":
		return true
	}
	first, _, _ := strings.Cut(pkg, "/")
	// Module paths usually begin with a host name; those of the standard library do not.
	// For a module without a host, the file decides: it is not below GOROOT.
	return !strings.Contains(first, ".") && !strings.HasSuffix(frame.File, "_test.go") && inGOROOT(frame.File)
}

// inGOROOT reports whether a file is below the standard library's folder. The folder is
// derived from one of its functions, because runtime.GOROOT is deprecated. With -trimpath
// it is empty, and only the form of the path decides.
func inGOROOT(file string) bool { return strings.HasPrefix(file, stdlib) }

var stdlib = func() string {
	f := runtime.FuncForPC(reflect.ValueOf(strings.ToUpper).Pointer())
	if f == nil {
		return ""
	}
	known, _ := f.FileLine(f.Entry())
	root, found := strings.CutSuffix(known, "strings/strings.go")
	if !found {
		return ""
	}
	return root
}()

// excerpt returns the lines of a source file around a line, or nil if it can't read them.
// Binaries built with -trimpath have relative paths, which are never read.
func excerpt(file string, line, context int) []sourceLine {
	if !filepath.IsAbs(file) || !strings.HasSuffix(file, ".go") || context < 0 {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 4<<20))
	if err != nil {
		return nil
	}
	var lines []sourceLine
	number := 0
	for text := range bytes.Lines(text) {
		number++
		if number >= line-context && number <= line+context {
			lines = append(lines, sourceLine{number, httpx.Truncate(strings.TrimRight(string(text), "\r\n"), 400), number == line})
		}
	}
	if number < line {
		return nil // the file differs from the one that was built
	}
	return lines
}
