// Command host-folders provisions volumes as folders of the machine it runs
// on: what stands behind the StorageClasses of the test cluster. Every access
// mode is granted, since every pod is on that one machine.
//
//	host-folders --kubeconfig FILE --folder DIR --node NAME
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// name is what StorageClasses call us.
const name = "ensure-volumes.test/host-folders"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "host-folders:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("host-folders", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "whom to be")
	folder := flags.String("folder", "", "where the volumes go")
	node := flags.String("node", "", "the node that has the folder")
	metrics := flags.Int("metrics-port", 9810, "port of 127.0.0.1 with /metrics; that it answers says that we are up")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *folder == "" || *node == "" {
		return errors.New("--folder and --node are needed")
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("loading the kubeconfig: %w", err)
	}
	config.QPS = -1 // tests create claims by the thousand
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making the client: %w", err)
	}
	provisioner := &hostFolders{folder: *folder, node: *node}
	controller.NewProvisionController(ctx, client, name, provisioner,
		controller.LeaderElection(false),
		controller.Threadiness(16),
		controller.MetricsAddress("127.0.0.1"),
		controller.MetricsPort(int32(*metrics)),
	).Run(ctx)
	return nil
}

// hostFolders keeps each volume in the folder of its PersistentVolume's name.
type hostFolders struct{ folder, node string }

var _ controller.Provisioner = (*hostFolders)(nil)

// Provision makes the folder. It may be called again for the same volume.
func (h *hostFolders) Provision(_ context.Context, options controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	path := filepath.Join(h.folder, options.PVName)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("creating the volume's folder: %w", err)
	}
	// Whatever our umask is: fsGroup means nothing to such a volume, and pods
	// that are not root write too.
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("opening the volume's folder to everybody: %w", err)
	}
	kind := corev1.HostPathDirectory
	claim := options.PVC.Spec
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: options.PVName},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   claim.AccessModes,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Resources.Requests[corev1.ResourceStorage]},
			MountOptions:                  options.StorageClass.MountOptions,
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &kind},
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{h.node},
				}}}},
			}},
		},
	}, controller.ProvisioningFinished, nil
}

// Delete removes the folder with what is in it.
func (h *hostFolders) Delete(_ context.Context, volume *corev1.PersistentVolume) error {
	// By the volume's name and not by the path in it, which others can write.
	if err := os.RemoveAll(filepath.Join(h.folder, filepath.Base(volume.Name))); err != nil {
		return fmt.Errorf("removing the volume's folder: %w", err)
	}
	return nil
}
