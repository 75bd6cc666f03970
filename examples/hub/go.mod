module github.com/speakingtube/speakingtube/examples/hub

go 1.26.0

require (
	github.com/speakingtube/speakingtube v0.2.0
	github.com/speakingtube/speakingtube/wsmanager/hub/msgpack v0.0.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/felixge/httpsnoop v1.1.0 // indirect
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/ws v1.5.0 // indirect
	github.com/justinas/alice v1.2.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)

replace github.com/speakingtube/speakingtube => ../..

replace github.com/speakingtube/speakingtube/wsmanager/hub/msgpack => ../../wsmanager/hub/msgpack
