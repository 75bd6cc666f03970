module github.com/speakingtube/speakingtube

go 1.26.0

require (
	github.com/felixge/httpsnoop v1.1.0
	github.com/gobwas/ws v1.5.0
	github.com/justinas/alice v1.2.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/net v0.62.0
	golang.org/x/sys v0.49.0
	golang.org/x/term v0.47.0
	golang.org/x/time v0.16.0
)

require (
	github.com/gobwas/httphead v0.1.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/text v0.43.0 // indirect
)
