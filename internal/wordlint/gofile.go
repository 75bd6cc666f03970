package wordlint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// textFunc matches the names of functions and methods that take a text for people: those
// of errors, fmt, log, log/slog and testing.
var textFunc = regexp.MustCompile(`^(New|Errorf|panic|(Debug|Info|Warn|Error)(Context)?|Log|LogAttrs|Logf|(Print|Fatal|Panic)(f|ln)?|Skipf?)$`)

// GoFile returns the occurrences in the comments and string literals of a Go file. In a
// test file, where literals are data, only those count that are passed to a function for
// errors or logs.
func (l *List) GoFile(name string, src []byte) ([]Hit, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	line := func(pos token.Pos) int { return files.PositionFor(pos, false).Line }
	var hits []Hit
	for _, group := range file.Comments {
		hits = append(hits, l.find(commentText(group, line), line(group.Pos()))...)
	}
	for _, decl := range file.Decls {
		for _, text := range literals(decl, strings.HasSuffix(name, "_test.go")) {
			hits = append(hits, l.find(literalText(text), line(text.Pos()))...)
		}
	}
	slices.SortStableFunc(hits, func(a, b Hit) int { return a.Line - b.Line })
	return hits, nil
}

// literals returns the string literals of a declaration, and the concatenations of them,
// without import paths and struct tags.
func literals(decl ast.Decl, isTest bool) (list []ast.Expr) {
	inTextCall := 0 // depth of calls of text functions; all literals count outside of tests
	if !isTest {
		inTextCall = 1
	}
	var visit func(ast.Node) bool
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			if n.Tag == nil {
				return true
			}
			field := *n
			field.Tag = nil
			ast.Inspect(&field, visit)
			return false
		case *ast.CallExpr:
			if !textFunc.MatchString(funcName(n.Fun)) {
				return true
			}
			ast.Inspect(n.Fun, visit)
			inTextCall++
			for _, arg := range n.Args {
				ast.Inspect(arg, visit)
			}
			inTextCall--
			return false
		case *ast.BinaryExpr:
			if n.Op != token.ADD || inTextCall == 0 {
				return true
			}
			list = append(list, n)
			for _, operand := range operands(n) {
				if _, isLiteral := operand.(*ast.BasicLit); !isLiteral {
					ast.Inspect(operand, visit)
				}
			}
			return false
		case *ast.BasicLit:
			if n.Kind == token.STRING && inTextCall > 0 {
				list = append(list, n)
			}
		}
		return true
	}
	ast.Inspect(decl, visit)
	return list
}

// funcName returns the name of a called function or method without its qualifier.
func funcName(fun ast.Expr) string {
	switch fun := fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		return fun.Sel.Name
	}
	return ""
}

// commentText returns the text of a comment group without comment markers, directives and
// code blocks. Its lines are those of the file.
func commentText(group *ast.CommentGroup, line func(token.Pos) int) string {
	var b strings.Builder
	at := line(group.Pos())
	for _, comment := range group.List {
		for ; at < line(comment.Pos()); at++ {
			b.WriteByte('\n')
		}
		text := comment.Text
		if block, ok := strings.CutPrefix(text, "/*"); ok {
			text = strings.TrimSuffix(block, "*/")
		} else if text = strings.TrimPrefix(text, "//"); strings.HasPrefix(text, "go:") || strings.HasPrefix(text, "\t") {
			text = ""
		}
		b.WriteString(text)
		at += strings.Count(text, "\n")
	}
	return b.String()
}

// operands returns the operands of a concatenation from left to right.
func operands(expr ast.Expr) []ast.Expr {
	if sum, ok := expr.(*ast.BinaryExpr); ok && sum.Op == token.ADD {
		return append(operands(sum.X), operands(sum.Y)...)
	}
	return []ast.Expr{expr}
}

// literalText returns the text of a string literal or of a concatenation. Every operand
// that is not a literal becomes a character that no form contains. Line ends of raw
// literals are those of the file; other line ends become spaces.
func literalText(expr ast.Expr) string {
	var b strings.Builder
	for _, operand := range operands(expr) {
		literal, _ := operand.(*ast.BasicLit)
		if literal == nil || literal.Kind != token.STRING {
			b.WriteByte(0)
			continue
		}
		text, _ := strconv.Unquote(literal.Value) // the parser accepts valid literals only
		if !strings.HasPrefix(literal.Value, "`") {
			text = strings.ReplaceAll(text, "\n", " ")
		}
		b.WriteString(text)
	}
	return b.String()
}
