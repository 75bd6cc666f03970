package main

import "github.com/speakingtube/speakingtube/wsmanager/hub"

// What the hub calls in its clients. The first argument of message, left, drawn and typing
// is the id of a connection.
var (
	message   = hub.NewEvent2[string, hub.Raw]("message")
	clientAdd = hub.NewClientMethod2[int, int, int]("clientAdd")

	entered = hub.NewEvent[person]("entered")
	left    = hub.NewEvent[string]("left")
	drawn   = hub.NewEvent2[string, stroke]("drawn")
	wiped   = hub.NewEvent[string]("wiped") // by the person with this name
	said    = hub.NewEvent[remark]("said")
	typing  = hub.NewEvent2[string, bool]("typing")
)

func events() []hub.Declaration {
	return []hub.Declaration{message, clientAdd, entered, left, drawn, wiped, said, typing}
}
