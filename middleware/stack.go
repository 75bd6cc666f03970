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

// stackFrame is one call of a stack, for people.
type stackFrame struct {
	Func   string       `json:"func"`
	File   string       `json:"file"`
	Line   int          `json:"line"`
	Source []sourceLine `json:"source,omitempty"` // around Line, where the file is on this disk
}

// sourceLine is a line of an excerpt.
type sourceLine struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
	Here   bool   `json:"here,omitempty"`
}

// frameGroup is a run of frames of the application, or one of the libraries'
// around it, which are folded.
type frameGroup struct {
	Library bool         `json:"library,omitempty"`
	Frames  []stackFrame `json:"frames"`
}

// framesOf returns the stack from the call that panicked on, without the
// machinery of the panic itself. Excerpts have context lines before and after.
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

// isLibrary tells calls of the standard library, and of this one, from the
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
	// Paths of modules begin with a host; those of the standard library don't.
	// A module may do without one all the same: its files are not below GOROOT.
	return !strings.Contains(first, ".") && !strings.HasSuffix(frame.File, "_test.go") && inGOROOT(frame.File)
}

// inGOROOT reports whether a file lies below the standard library's folder. That
// is known from one of its functions, as runtime.GOROOT is deprecated.
// With -trimpath it is empty, and the path's form has to do.
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

// excerpt reads the lines around one of a source file, nil where it can't. Paths
// of a binary that was built with -trimpath are not absolute and never read.
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
		return nil // the file is not the one that was built
	}
	return lines
}
