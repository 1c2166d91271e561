package main

import (
	"archive/tar"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// copied is the file in the sleeping container that is copied both ways.
const copied = "file"

// copyIn is what `docker cp` into a container does: an archive in chunks.
func (b *bench) copyIn(bytes int64) func(context.Context, *arm) (time.Duration, error) {
	return func(ctx context.Context, a *arm) (time.Duration, error) {
		reader, writer := io.Pipe()
		go func() { writer.CloseWithError(archive(writer, bytes)) }()
		defer func() { _ = reader.Close() }() // it ends the writer where the engine did not read all
		request, err := a.request(ctx, "PUT", "/containers/"+b.box+"/archive?path=/ram", reader)
		if err != nil {
			return 0, err
		}
		request.Header.Set("Content-Type", "application/x-tar")
		begin := time.Now()
		_, err = a.transfer(request)
		took := time.Since(begin)
		if err != nil {
			return 0, err
		}
		return took, b.holds(ctx, bytes)
	}
}

// holds is an error unless the container has the whole file.
func (b *bench) holds(ctx context.Context, bytes int64) error {
	request, err := b.direct.request(ctx, http.MethodHead, "/containers/"+b.box+"/archive?path=/ram/"+copied, nil)
	if err != nil {
		return err
	}
	response, err := b.direct.client.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	stat, err := base64.StdEncoding.DecodeString(response.Header.Get("X-Docker-Container-Path-Stat"))
	if err != nil {
		return err
	}
	if want := fmt.Sprintf(`"size":%d,`, bytes); !strings.Contains(string(stat), want) {
		return fmt.Errorf("the container's file is not of %d bytes: %s", bytes, stat)
	}
	return nil
}

// copyOut is what `docker cp` out of a container does. The file is there since
// copyIn, or is put there.
func (b *bench) copyOut(bytes int64) func(context.Context, *arm) (time.Duration, error) {
	return func(ctx context.Context, a *arm) (time.Duration, error) {
		if b.holds(ctx, bytes) != nil {
			if _, err := b.copyIn(bytes)(ctx, b.direct); err != nil {
				return 0, err
			}
		}
		request, err := a.request(ctx, "GET", "/containers/"+b.box+"/archive?path=/ram/"+copied, nil)
		if err != nil {
			return 0, err
		}
		begin := time.Now()
		got, err := a.transfer(request)
		took := time.Since(begin)
		if err == nil && got < bytes {
			err = fmt.Errorf("%d bytes came of a file of %d", got, bytes)
		}
		return took, err
	}
}

// transfer sends a request and counts what comes.
func (a *arm) transfer(request *http.Request) (int64, error) {
	response, err := a.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s %s: %s", request.Method, request.URL.Path, response.Status)
	}
	return io.Copy(io.Discard, response.Body)
}

// archive writes an archive with one file.
func archive(w io.Writer, bytes int64) error {
	t := tar.NewWriter(w)
	if err := t.WriteHeader(&tar.Header{Name: copied, Mode: 0o644, Size: bytes}); err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for left := bytes; left > 0; left -= int64(len(block)) {
		if _, err := t.Write(block[:min(left, int64(len(block)))]); err != nil {
			return err
		}
	}
	return t.Close()
}
