package hub

// callIndex has the calls of a connection by their ids. Most connections have few calls at a time, which take no memory here;
// a map is made for more.
type callIndex struct {
	first *call // of a list by call.nextByID; nil if there is a map
	n     int   // of calls in the list
	byID  map[string]*call
}

const maxListedCalls = 8

// get returns the call, or nil.
func (x *callIndex) get(id string) *call {
	for k := x.first; k != nil; k = k.nextByID {
		if k.inv.ID == id {
			return k
		}
	}
	return x.byID[id]
}

// add adds a call with an id that is not in the index.
func (x *callIndex) add(k *call) {
	if x.byID == nil && x.n < maxListedCalls {
		k.nextByID, x.first = x.first, k
		x.n++
		return
	}
	if x.byID == nil {
		x.byID = make(map[string]*call, 2*maxListedCalls)
		for listed := x.first; listed != nil; listed = x.first {
			x.byID[listed.inv.ID] = listed
			x.first, listed.nextByID = listed.nextByID, nil
		}
		x.n = 0
	}
	x.byID[k.inv.ID] = k
}

// remove removes a call if it is in the index.
func (x *callIndex) remove(k *call) {
	if x.byID[k.inv.ID] == k {
		if delete(x.byID, k.inv.ID); len(x.byID) == 0 {
			x.byID = nil
		}
		return
	}
	for p := &x.first; *p != nil; p = &(*p).nextByID {
		if *p == k {
			*p, k.nextByID = k.nextByID, nil
			x.n--
			return
		}
	}
}
