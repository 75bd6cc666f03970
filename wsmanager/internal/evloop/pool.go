package evloop

import (
	"context"
	"runtime"
	"slices"
	"sync"
)

// Pool distributes sockets over several Loops. The loops exist while they have sockets, so
// that a Pool without sockets has neither a goroutine nor a descriptor. It is safe for
// concurrent use.
//
// It has one loop for two processors, because half of the cost of a message is in the
// kernel, on the processor of the sender.
type Pool struct {
	opts Options

	mu      sync.Mutex                // guards the fields below
	loops   []*Loop                   // nil while sockets is 0
	next    int                       // counts sockets, to choose the loop of the next one
	sockets int                       // between AddOwned and Leave
	ending  []*Loop                   // closed; the goroutines may not have ended
	awaited map[*Socket]chan struct{} // closed by Leave
}

// NewPool makes a Pool of loops with these options. It fails where New fails.
func NewPool(opts Options) (*Pool, error) {
	if _, err := New(opts); err != nil {
		return nil, err
	}
	return &Pool{opts: opts}, nil
}

// AddOwned is [Loop.AddOwned] in one of the loops. If it succeeds, Leave must be called
// after End.
func (p *Pool) AddOwned(fd int, h Handler, s *Socket) error {
	loop, err := p.enter()
	if err != nil {
		return err
	}
	if err := loop.AddOwned(fd, h, s); err != nil {
		p.Leave(s)
		return err
	}
	return nil
}

// enter chooses the loop of a new socket.
func (p *Pool) enter() (*Loop, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loops == nil {
		loops := make([]*Loop, max(1, runtime.GOMAXPROCS(0)/2))
		for i := range loops {
			var err error
			if loops[i], err = New(p.opts); err != nil {
				return nil, err
			}
		}
		p.loops = loops
	}
	p.sockets++
	p.next++
	return p.loops[p.next%len(p.loops)], nil
}

// Left returns a channel that Leave closes for the socket. It must be called before the
// socket can end, at most once.
func (p *Pool) Left(s *Socket) <-chan struct{} {
	left := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.awaited == nil {
		p.awaited = make(map[*Socket]chan struct{})
	}
	p.awaited[s] = left
	return left
}

// Leave removes a socket that has ended. With the last one the loops are closed.
func (p *Pool) Leave(s *Socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if left := p.awaited[s]; left != nil {
		close(left)
		delete(p.awaited, s)
	}
	if p.sockets--; p.sockets > 0 {
		return
	}
	for _, loop := range p.loops {
		_ = loop.Close() // always nil
	}
	p.ending = append(slices.DeleteFunc(p.ending, ended), p.loops...)
	p.loops = nil
}

func ended(loop *Loop) bool {
	select {
	case <-loop.Done():
		return true
	default:
		return false
	}
}

// Wait waits until the closed loops have released their goroutines and descriptors, or ctx
// ends. A nil Pool has no loops.
func (p *Pool) Wait(ctx context.Context) {
	if p == nil {
		return
	}
	p.mu.Lock()
	ending := slices.Clone(p.ending)
	p.mu.Unlock()
	for _, loop := range ending {
		select {
		case <-loop.Done():
		case <-ctx.Done():
			return
		}
	}
}
