//go:build linux

package evloop

// followUp calls Options.FollowUp for the handler of the event, whose Data has returned. It
// makes the socket independent of the event first. If the watchdog deposes the leader from
// then on, it sees settled and does not detach the socket. If it has deposed the leader
// before, it may or may not have seen settled: afterDeposed covers both.
//
// Here too the leader stores one word and reads the other, and the watchdog does so in the
// opposite order (see watchdog.wake): the leader settles and reads w, the watchdog changes w
// and reads settled. So one of them sees the other's store.
func (ld *leader) followUp() {
	l, h := ld.loop, ld.socket.handler
	l.settled.Store(ld.w)
	if l.w.Load() != ld.w {
		ld.afterDeposed()
	}
	ld.socket, ld.settles = nil, false
	ld.phase = phaseFollowUp
	l.opts.FollowUp(h)
	ld.phase = phaseLoop
}
