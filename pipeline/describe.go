package pipeline

import (
	"fmt"
	"net/http"
	"path"
	"reflect"
	"runtime"
	"strconv"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
)

// String prints the pipeline as a tree with one component per line, in the order in which a
// request passes through them. Names that were not given with UseNamed are derived from the
// functions and are only for printing.
//
//	pipeline
//	├─ Use      recover
//	├─ Mount    /ws → *wsmanager.Manager
//	├─ Map      /admin [MatchCase]
//	│  ├─ Use      auth
//	│  └─ Run      main.admin
//	└─ (end)    404
func (b *Builder) String() string {
	var sb strings.Builder
	sb.WriteString("pipeline\n")
	b.print(&sb, "", "404")
	return strings.TrimSuffix(sb.String(), "\n")
}

func (b *Builder) print(sb *strings.Builder, indent, end string) {
	hasRun := false
	for i := range b.steps {
		s := &b.steps[i]
		hasRun = hasRun || s.kind == kindRun
		fork, below := "├─ ", "│  "
		if i == len(b.steps)-1 && hasRun {
			fork, below = "└─ ", "   "
		}
		label := s.label + describeOptions(s.opts)
		if s.kind == kindMount {
			label += " → " + handlerName(s.handler)
		}
		fmt.Fprintf(sb, "%s%s%-8s %s\n", indent, fork, s.kind, label)
		switch s.kind {
		case kindMap, kindMapWhen:
			s.sub.print(sb, indent+below, "404")
		case kindUseWhen:
			s.sub.print(sb, indent+below, "rejoins")
		}
	}
	if !hasRun {
		fmt.Fprintf(sb, "%s└─ %-8s %s\n", indent, "(end)", end)
	}
}

// describeOptions lists the options of a Map that are set: " [MatchCase]".
func describeOptions(opts branch.MapOptions) string {
	var set []string
	if opts.PreservePath {
		set = append(set, "PreservePath")
	}
	if opts.MatchCase {
		set = append(set, "MatchCase")
	}
	if opts.EscapedSlashesAreData {
		set = append(set, "EscapedSlashesAreData")
	}
	if opts.Literal {
		set = append(set, "Literal")
	}
	if set == nil {
		return ""
	}
	return " [" + strings.Join(set, " ") + "]"
}

// funcName derives a readable name from a function: "middleware.Recover",
// "main.run.func1".
func funcName(f any) string {
	v := reflect.ValueOf(f)
	if v.Kind() != reflect.Func || v.IsNil() {
		return "nil"
	}
	rf := runtime.FuncForPC(v.Pointer())
	if rf == nil {
		return "func"
	}
	name := path.Base(rf.Name())                 // without the import path
	name = strings.TrimSuffix(name, "-fm")       // a method value
	name = strings.ReplaceAll(name, "[...]", "") // type arguments
	for {                                        // a function that a constructor returned gets the constructor's name
		cut := strings.LastIndex(name, ".func")
		if cut < 0 || strings.Trim(name[cut+len(".func"):], "0123456789.") != "" || strings.HasPrefix(name, "main.") {
			return name
		}
		name = name[:cut]
	}
}

func handlerName(h http.Handler) string {
	if h == nil {
		return "nil"
	}
	if v := reflect.ValueOf(h); v.Kind() == reflect.Func {
		return funcName(h)
	}
	return reflect.TypeOf(h).String()
}

// caller returns the file:line of the builder's caller.
func caller() string {
	_, file, line, ok := runtime.Caller(2)
	if !ok {
		return "unknown place"
	}
	return file + ":" + strconv.Itoa(line)
}
