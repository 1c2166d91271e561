package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ensure-volumes/ensure-volumes/pkg/dockerproxy"
)

// pingTimeout is how long /healthz waits for the engine.
const pingTimeout = 2 * time.Second

// serve runs the parts until ctx ends, and then lets streams finish.
func serve(ctx context.Context, o *options, reload <-chan os.Signal, log logr.Logger) error {
	config, err := readConfig(o.config)
	if err != nil {
		return err
	}
	state, err := dockerproxy.OpenState(o.stateDir)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	counters, err := newCounters(registry)
	if err != nil {
		return err
	}
	defer func() { _ = state.Close() }() // the end of the process does the same
	proxy, err := dockerproxy.New(o.engine, config, state, counters.proxy, log)
	if err != nil {
		return err
	}
	// Both listeners before either serves: what cannot start does not half start.
	var metrics net.Listener
	if o.metricsListen != "0" {
		if metrics, err = new(net.ListenConfig).Listen(ctx, "tcp", o.metricsListen); err != nil {
			return fmt.Errorf("--metrics-listen: %w", err)
		}
		defer metrics.Close()
	}
	listener, err := listen(ctx, o.listen, o.group)
	if err != nil {
		return err
	}
	log.Info("listening", "socket", o.listen, "engine", o.engine, "classes", len(config.Classes))

	life, end := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end()
	wg.Go(func() { proxy.Retain(life) })
	wg.Go(func() { follow(life, reload, o.config, proxy, counters, log) })
	if metrics != nil {
		side := &http.Server{Handler: sideHandler(proxy, registry), ReadHeaderTimeout: pingTimeout}
		wg.Go(func() {
			if err := side.Serve(metrics); !errors.Is(err, http.ErrServerClosed) {
				log.Error(err, "the metrics' server ended")
			}
		})
		defer func() { _ = side.Close() }() // its answers are of no use any more
	}
	return serveProxy(ctx, listener, proxy, o, log)
}

// serveProxy serves until ctx ends. From then on no connection is taken; those
// under way, hijacked streams included, have the drain's time.
func serveProxy(ctx context.Context, listener net.Listener, proxy http.Handler, o *options, log logr.Logger) error {
	var running sync.WaitGroup
	life, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	server := &http.Server{
		// http.Server forgets hijacked connections; their handlers run as long as they do.
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			running.Add(1)
			defer running.Done()
			proxy.ServeHTTP(w, r)
		}),
		BaseContext: func(net.Listener) context.Context { return life },
		ErrorLog:    slog.NewLogLogger(logr.ToSlogHandler(log), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving %s: %w", o.listen, err)
	case <-ctx.Done():
	}
	log.Info("stopping", "drain", o.drain.String())
	_ = os.Remove(o.listen) // clients see at once that nobody is there
	drained, cancel := context.WithTimeout(life, o.drain)
	defer cancel()
	err := server.Shutdown(drained)
	if err == nil {
		done := make(chan struct{})
		go func() { running.Wait(); close(done) }()
		select {
		case <-done:
			log.Info("stopped")
			return nil
		case <-drained.Done():
		}
	}
	log.Info("stopped, with streams under way")
	abort()
	return ignoreClosed(server.Close())
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// follow reads the configuration again at each signal. A faulty one changes nothing.
func follow(ctx context.Context, reload <-chan os.Signal, path string, proxy *dockerproxy.Proxy, counters *counters, log logr.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-reload:
			config, err := readConfig(path)
			if err != nil {
				counters.reloadErrors.Inc()
				log.Error(err, "the configuration is faulty; the one before stays")
				continue
			}
			proxy.Configure(config)
			log.Info("the configuration was read again", "classes", len(config.Classes), "volumeAutoCreate", config.AutoCreate)
		}
	}
}

// sideHandler answers /healthz, which is well while the engine answers, and /metrics.
func sideHandler(proxy *dockerproxy.Proxy, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), pingTimeout)
		defer cancel()
		if err := proxy.Ping(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}
