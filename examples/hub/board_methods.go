package main

import (
	"context"
	"iter"
	"slices"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// group has the people at the board. Other clients of the hub are not in it.
const group = "board"

var errNotHere = hub.Error("Enter first.")

func (b *board) methods() hub.Methods {
	return hub.Methods{
		"Enter":  b.enter,
		"Draw":   b.draw,
		"Wipe":   b.wipe,
		"Say":    b.say,
		"Typing": b.typing,
		"Replay": b.replay,
	}
}

// enter adds the caller to the board with a name and returns the state of the board. Later
// changes arrive as events, possibly before this result.
func (b *board) enter(ctx *hub.Context, name string) (scene, error) {
	you := person{ctx.ConnectionID(), clean(name, maxName)}
	if you.Name == "" {
		return scene{}, hub.Error("A name is needed.")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.find(you.ID) >= 0:
		return scene{}, hub.Error("You are here already.")
	case len(b.people) >= maxPeople:
		return scene{}, hub.Error("The room is full.")
	}
	if err := ctx.Join(group); err != nil {
		return scene{}, err
	}
	// If the connection has ended, disconnected may have run already and does not run again.
	if err := context.Cause(ctx); err != nil {
		return scene{}, err
	}
	b.people = append(b.people, you)
	found := scene{you, slices.Clone(b.people), append([]stroke{}, b.strokes...), append([]remark{}, b.said...)} // never null in JSON
	return found, entered.Send(ctx.Clients().OthersInGroup(group), you)
}

// disconnected is the hub's hook. It does not run for a connection that may be resumed.
func (b *board) disconnected(ctx *hub.Context, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.find(ctx.ConnectionID()); i >= 0 {
		b.people = slices.Delete(b.people, i, i+1)
		_ = left.Send(ctx.Clients().Group(group), ctx.ConnectionID()) // an id can be encoded
	}
}

// draw puts a stroke on everybody's board, the caller's too: so all boards have them in
// one order, also around a wipe.
func (b *board) draw(ctx *hub.Context, s stroke) error {
	if err := s.check(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.find(ctx.ConnectionID()) < 0 {
		return errNotHere
	}
	b.add(s)
	return drawn.Send(ctx.Clients().Group(group), ctx.ConnectionID(), s)
}

// wipe cleans the board.
func (b *board) wipe(ctx *hub.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.find(ctx.ConnectionID())
	if i < 0 {
		return errNotHere
	}
	b.strokes, b.ink = nil, 0
	return wiped.Send(ctx.Clients().Group(group), b.people[i].Name)
}

// say tells all, the caller too.
func (b *board) say(ctx *hub.Context, text string) error {
	text = clean(text, maxText)
	if text == "" {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.find(ctx.ConnectionID())
	if i < 0 {
		return errNotHere
	}
	r := remark{b.people[i].ID, b.people[i].Name, text}
	b.said = append(b.said, r)
	b.said = b.said[max(0, len(b.said)-maxSaid):]
	return said.Send(ctx.Clients().Group(group), r)
}

// typing tells the others that the caller types, or does no longer.
func (b *board) typing(ctx *hub.Context, on bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.find(ctx.ConnectionID()) < 0 {
		return errNotHere
	}
	return typing.Send(ctx.Clients().OthersInGroup(group), ctx.ConnectionID(), on)
}

// frame is a step of a replay.
type frame struct {
	Done   int    `json:"done"`
	Total  int    `json:"total"`
	Stroke stroke `json:"stroke"`
}

// replay streams the strokes on the board, with a pause of delay milliseconds, at most a
// second, after each.
func (b *board) replay(ctx context.Context, delay int) iter.Seq2[frame, error] {
	b.mu.Lock()
	strokes := slices.Clone(b.strokes)
	b.mu.Unlock()
	return func(yield func(frame, error) bool) {
		for i, s := range strokes {
			if !yield(frame{i + 1, len(strokes), s}, nil) {
				return
			}
			if err := pause(ctx, min(delay, 1000)); err != nil {
				yield(frame{}, err)
				return
			}
		}
	}
}
