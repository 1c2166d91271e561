package main

import (
	"math/rand/v2"
	"slices"
	"time"
)

// figures are what a scenario's rounds say of the way through a proxy.
type figures struct {
	direct, through quartiles
	// ratio is that of the medians: through it to direct, of times, or of
	// throughputs where bytes were moved. In 95 of 100 runs like this one it would
	// be from low to high.
	ratio, low, high float64
}

// quartiles of some times.
type quartiles struct{ first, median, third time.Duration }

// resamples is how often the rounds are drawn again for the interval.
const resamples = 4000

// figure computes the figures of the times through a proxy; the same rounds give the
// same ones. The interval is a bootstrap over rounds, since the times of a round
// belong together.
func (r *result) figure(through []time.Duration) figures {
	f := figures{direct: quarter(r.direct), through: quarter(through)}
	f.ratio = r.ratio(f.direct.median, f.through.median)
	random := rand.New(rand.NewPCG(1, 2))
	n := len(r.direct)
	ratios := make([]float64, resamples)
	one, other := make([]time.Duration, n), make([]time.Duration, n)
	for i := range ratios {
		for j := range n {
			k := random.IntN(n)
			one[j], other[j] = r.direct[k], through[k]
		}
		ratios[i] = r.ratio(quarter(one).median, quarter(other).median)
	}
	slices.Sort(ratios)
	f.low, f.high = ratios[resamples*25/1000], ratios[resamples*975/1000]
	return f
}

func (r *result) ratio(direct, through time.Duration) float64 {
	if r.bytes > 0 {
		return float64(direct) / float64(through)
	}
	return float64(through) / float64(direct)
}

// met reports whether the goal is, if there is one.
func (r *result) met(f figures) bool {
	if r.bytes > 0 {
		return f.ratio >= r.goal
	}
	return r.goal == 0 || f.ratio <= r.goal
}

// quarter sorts a copy; between two times it takes the middle.
func quarter(times []time.Duration) quartiles {
	sorted := slices.Sorted(slices.Values(times))
	at := func(quarters int) time.Duration {
		// The position in quarters of a step, so that all stays whole.
		position := quarters * (len(sorted) - 1)
		low, rest := sorted[position/4], position%4
		if rest == 0 {
			return low
		}
		return low + (sorted[position/4+1]-low)*time.Duration(rest)/4
	}
	return quartiles{at(1), at(2), at(3)}
}
