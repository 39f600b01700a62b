package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tlswatch/pkg/metric"
)

// A publication is the result of publishing an object's metrics.
type publication struct {
	data int // metric data about the load balancer
	err  error
	took time.Duration // of all objects that were published together
}

// A batch is the tasks whose metrics go into one request.
type batch struct {
	tasks     []*task
	data      []metric.Datum
	processor metric.Processor
}

// batches groups the tasks that have not failed, so that the data of each group
// fit into one request, unless a single task's do not.
func batches(tasks []*task) []batch {
	var list []batch
	for _, t := range tasks {
		if t.err() != nil {
			continue
		}
		if n := len(list) - 1; n >= 0 {
			last := &list[n]
			processor := last.processor.Plus(t.claim.processor)
			if data := metric.Merge(last.data, t.claim.data); metric.FitOne(data, &processor) {
				last.tasks, last.data, last.processor = append(last.tasks, t), data, processor
				continue
			}
		}
		list = append(list, batch{[]*task{t}, t.claim.data, t.claim.processor})
	}
	return list
}

// publishTasks publishes the tasks that have not failed.
func (p *Pipeline) publishTasks(ctx context.Context, tasks []*task) {
	for _, b := range batches(tasks) {
		for i, published := range p.publish(ctx, b) {
			b.tasks[i].published = published
		}
	}
}

// publish sends the metrics of a batch and commits its objects. It returns a
// result for each.
func (p *Pipeline) publish(ctx context.Context, b batch) []publication {
	start := p.Now()
	err := ctx.Err()
	if err != nil {
		err = fmt.Errorf("out of time before publishing: %w; %w", context.Cause(ctx), ErrNothingSent)
	} else if err = p.finish(ctx, 2, func(ctx context.Context) error {
		// The processor's own metrics go first: a crash between two requests must not
		// leave out that this batch may count twice.
		return p.Metrics.Put(ctx, slices.Concat(b.processor.Data(start), b.data))
	}); err != nil {
		err = fmt.Errorf("publishing metrics: %w", err)
	}
	results := make([]publication, len(b.tasks))
	for i, t := range b.tasks {
		r := publication{err: err}
		switch {
		case err == nil:
			r.data = len(t.claim.data)
			if t.claim.held {
				r.err = p.commit(ctx, t.claim.ticket)
			}
		case t.claim.held && errors.Is(err, ErrNothingSent):
			r.err = errors.Join(err, p.release(ctx, t.claim.ticket))
		}
		r.took = p.Now().Sub(start)
		results[i] = r
	}
	return results
}
