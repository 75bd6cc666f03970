package report

// Charts are the drawings, by their names in docs/images.
func (r *Results) Charts() (map[string][]byte, error) {
	charts := map[string][]byte{}
	draw := func(name, title string, panels []panel, err error) error {
		if err == nil {
			charts[name], err = chart(title, panels)
		}
		return err
	}
	memory, err := r.panels("idle_bytes")
	if err := draw("benchmark-memory.svg", "Memory of an idle WebSocket", memory, err); err != nil {
		return nil, err
	}
	cpu, err := r.panels("echo_many_cpu_us", "broadcast_cpu_us", "broadcast_joined_cpu_us", "open_cpu_us")
	if err := draw("benchmark-cpu.svg", "Processor time of WebSocket servers", cpu, err); err != nil {
		return nil, err
	}
	if err := draw("benchmark-stack.svg", "Processor time of components around a handler", r.stackPanels(), nil); err != nil {
		return nil, err
	}
	return charts, nil
}

var panelTitles = map[string]string{
	"idle_bytes":              "Resident memory of an idle socket, bytes: less is better",
	"echo_many_cpu_us":        "Processor time of an echo among 1,000 sockets, µs: less is better",
	"broadcast_cpu_us":        "… of a broadcast's delivery to one of 1,000",
	"broadcast_joined_cpu_us": "… of the same with 8 broadcasts in flight",
	"open_cpu_us":             "… of opening a connection",
}

// panels has one for each figure, of all servers.
func (r *Results) panels(figures ...string) ([]panel, error) {
	var panels []panel
	for _, figure := range figures {
		p := panel{Title: panelTitles[figure]}
		for _, s := range r.Peers {
			v, err := r.median(s.Name, figure)
			if err != nil {
				return nil, err
			}
			p.Bars = append(p.Bars, bar{s.Name, v, number(v), s.kind()})
		}
		panels = append(panels, p)
	}
	return panels, nil
}

func (r *Results) stackPanels() []panel {
	panels := []panel{
		{Title: "Ten components that only pass on, CPU ns: less is better"},
		{Title: "Recovery, request id, log and response time, CPU ns"},
	}
	for _, c := range r.Stack {
		b := bar{c.Library, c.P10, number(c.P10), "theirs"}
		if c.Library == "" {
			b.Label, b.Kind = "Speaking Tube", "ours"
		}
		if c.Short != "" {
			b.Label += ", " + c.Short
		}
		switch c.Group {
		case "ten":
			panels[0].Bars = append(panels[0].Bars, b)
		case "full":
			panels[1].Bars = append(panels[1].Bars, b)
		}
	}
	return panels
}
