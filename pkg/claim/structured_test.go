package claim_test

import "fmt"

// structuredRows are the rules of the structured form that is well written.
func structuredRows() []row {
	rows := []row{
		{
			rule:  "a JSON list",
			hints: keys{list: `[{"claimName":"home","storage":"10Gi","storageClass":"fast"}]`},
			home:  ok("storage=10Gi class=fast"),
		},
		{
			rule: "a JSON list of every field and two claims",
			hints: keys{list: `[
				{"claimName": "home", "storage": "10Gi", "storageClassName": "fast", "accessModes": ["RWO", "ReadOnlyMany"],
				 "createIfNotExists": false, "deleteOnSandboxTermination": true},
				{"claimName": "data", "storage": "1024Mi"}]`},
			home: ok("storage=10Gi class=fast modes=ReadWriteOnce+ReadOnlyMany create=false delete=true"),
			data: ok("storage=1Gi"),
		},
		{
			rule: "a YAML list",
			hints: keys{list: "# sizes\n- claimName: home\n  storage: 10Gi\n  accessModes:\n  - RWX\n  createIfNotExists: false\n" +
				"- {claimName: data, storage: '5', storageClass: \"\"}\n"},
			home: ok("storage=10Gi modes=ReadWriteMany create=false"), data: ok("storage=5 class="),
		},
		{
			rule:  "an entry without fields",
			hints: keys{list: `[{"claimName":"home"}]`},
		},
		{
			rule:  "an empty list",
			hints: keys{list: `[]`},
		},
		{
			rule:  "an empty list of access modes is none given, as in OpenSandbox's API",
			hints: keys{list: `[{"claimName":"home","accessModes":[]}]`, every + "accessModes": "RWX"},
			both:  ok("modes=ReadWriteMany"),
		},
		{
			rule:  "null in the list counts as absent",
			hints: keys{list: `[null,{"claimName":"home","storage":"5Gi"}]`}, home: ok("storage=5Gi"),
		},
		{
			rule: "null counts as absent",
			hints: keys{list: `[{"claimName":"home","storage":null,"storageClass":null,"storageClassName":null,
				"accessModes":null,"createIfNotExists":null,"deleteOnSandboxTermination":null}]`},
		},
		{
			rule:  "null counts as absent in YAML",
			hints: keys{list: "- claimName: home\n  storage: ~\n  storageClass:\n  accessModes: null\n"},
		},
		{
			rule:  "null leaves the value of the next rank",
			hints: keys{list: `[{"claimName":"home","storage":null}]`, every + "storage": "5Gi"},
			both:  ok("storage=5Gi"),
		},
		{
			rule:  "both names of the class with one value",
			hints: keys{list: `[{"claimName":"home","storageClass":"fast","storageClassName":"fast"}]`},
			home:  ok("class=fast"),
		},
		{
			rule:  "strings are read as in the flat form",
			hints: keys{list: `[{"claimName":"home","accessModes":"RWO,ROX","createIfNotExists":"false"}]`},
			home:  ok("modes=ReadWriteOnce+ReadOnlyMany create=false"),
		},
		{
			rule:  "OpenSandbox's annotation holds the same list",
			hints: keys{ext: `[{"claimName":"home","storage":"10Gi"}]`}, home: ok("storage=10Gi"),
		},
		{
			rule:  "both annotations, a claim each",
			hints: keys{ext: `[{"claimName":"home","storage":"10Gi"}]`, list: `[{"claimName":"data","storage":"5Gi"}]`},
			home:  ok("storage=10Gi"), data: ok("storage=5Gi"),
		},
		{
			rule: "both annotations agree",
			hints: keys{
				ext:  `[{"claimName":"home","storage":"1024Mi","accessModes":["ROX","RWO"]}]`,
				list: `[{"claimName":"home","storage":"1Gi","accessModes":["ReadWriteOnce","ReadOnlyMany"]}]`,
			},
			home: ok("storage=1Gi modes=ReadWriteOnce+ReadOnlyMany"),
		},
		{
			rule:  "both annotations, other fields of one claim",
			hints: keys{ext: `[{"claimName":"home","storage":"10Gi"}]`, list: `[{"claimName":"home","storageClass":"fast"}]`},
			home:  ok("storage=10Gi class=fast"),
		},
		{
			rule:  "both annotations conflict",
			hints: keys{ext: `[{"claimName":"home","storage":"10Gi"}]`, list: `[{"claimName":"home","storage":"5Gi"}]`},
			home:  refused("storage", `"10Gi"`),
		},
		{
			rule: "OpenSandbox's annotation is no label", on: onPods,
			labels: keys{ext: "home"},
		},
	}
	for _, empty := range []string{"", " ", "\n", "null", "~", "---", "# nothing yet"} {
		rows = append(rows, row{
			rule:  fmt.Sprintf("an empty text is an absent list: %q", empty),
			hints: keys{list: empty, home + "storage": "5Gi"}, home: ok("storage=5Gi"),
		})
	}
	return rows
}

// structuredFaultRows are the rules of the structured form that is not.
func structuredFaultRows() []row {
	rows := []row{
		{
			rule:  "a number as storage says to quote it",
			hints: keys{list: `[{"claimName":"home","storage":10}]`},
			home:  refused(list+"][0].storage", `quote it: "10"`),
		},
		{
			rule:  "a number as storage in YAML says to quote it",
			hints: keys{list: "- claimName: home\n  storage: 10"},
			home:  refused("[0].storage", `quote it: "10"`),
		},
		{
			rule:  "a float as storage says to quote it",
			hints: keys{list: `[{"claimName":"home","storage":1.5}]`}, home: refused("[0].storage", "quote it"),
		},
		{
			rule:  "an exponent as storage says to quote it",
			hints: keys{list: `[{"claimName":"home","storage":1e9}]`}, home: refused("[0].storage", "quote it"),
		},
		{
			rule:  "a huge number as storage says to quote it",
			hints: keys{list: `[{"claimName":"home","storage":123456789012345678901234567890}]`},
			home:  refused("[0].storage", "quote it"),
		},
		{
			rule:  "a boolean as storage",
			hints: keys{list: `[{"claimName":"home","storage":true}]`}, home: refused("[0].storage", "true"),
		},
		{
			rule:  "a list as storage",
			hints: keys{list: `[{"claimName":"home","storage":["10Gi"]}]`}, home: refused("[0].storage", "list"),
		},
		{
			rule:  "an object as storage",
			hints: keys{list: `[{"claimName":"home","storage":{"size":"10Gi"}}]`}, home: refused("[0].storage", ""),
		},
		{
			rule:  "a number as class says to quote it",
			hints: keys{list: `[{"claimName":"home","storageClass":1}]`}, home: refused("[0].storageClass", `quote it: "1"`),
		},
		{
			rule:  "a number as boolean",
			hints: keys{list: `[{"claimName":"home","createIfNotExists":0}]`}, home: refused("[0].createIfNotExists", "0"),
		},
		{
			rule:  "a wrong string as boolean",
			hints: keys{list: `[{"claimName":"home","createIfNotExists":"never"}]`}, home: refused("createIfNotExists", `"never"`),
		},
		{
			rule:  "a list as boolean",
			hints: keys{list: `[{"claimName":"home","createIfNotExists":[true]}]`}, home: refused("[0].createIfNotExists", "list"),
		},
		{
			rule:  "an object as access modes",
			hints: keys{list: `[{"claimName":"home","accessModes":{"RWO":true}}]`}, home: refused("[0].accessModes", "object"),
		},
		{
			rule:  "a key that is no string",
			hints: keys{list: "- claimName: home\n  [a]: b\n"}, both: refused(list, "key"),
		},
		{
			rule:  "a number among access modes",
			hints: keys{list: `[{"claimName":"home","accessModes":["RWO",1]}]`}, home: refused("[0].accessModes", "1"),
		},
		{
			rule:  "null among access modes",
			hints: keys{list: `[{"claimName":"home","accessModes":[null]}]`}, home: refused("[0].accessModes", ""),
		},
		{
			rule:  "an unknown access mode",
			hints: keys{list: `[{"claimName":"home","accessModes":["RWO","all"]}]`}, home: refused("[0].accessModes", `"all"`),
		},
		{
			rule:  "ReadWriteOncePod with another mode",
			hints: keys{list: `[{"claimName":"home","accessModes":["RWOP","RWO"]}]`},
			home:  refused("[0].accessModes", "ReadWriteOncePod"),
		},
		{
			rule:  "the two names of the class with two values",
			hints: keys{list: `[{"claimName":"home","storageClass":"fast","storageClassName":"slow"}]`},
			home:  refused("[0].storageClass", `"slow"`),
		},
		{
			rule:  "a field's name in another case",
			hints: keys{list: `[{"claimName":"home","Storage":"10Gi"}]`}, home: refused("[0]", `"Storage"`),
		},
		{
			rule:  "a key twice",
			hints: keys{list: `[{"claimName":"data"},{"claimName":"home","storage":"10Gi","storage":"10Gi"}]`},
			both:  refused(list, `"storage"`),
		},
		{
			rule:  "a key twice in YAML",
			hints: keys{list: "- claimName: home\n  storage: 10Gi\n  storage: 5Gi\n"}, both: refused(list, `"storage"`),
		},
		{
			rule:  "a claim listed twice",
			hints: keys{list: `[{"claimName":"home","storage":"10Gi"},{"claimName":"data"},{"claimName":"home"}]`},
			home:  refused("[2]", `"home"`).and("storage=10Gi"),
		},
		{
			rule:  "a YAML alias",
			hints: keys{list: "- claimName: home\n  storage: &size 10Gi\n- claimName: data\n  storage: *size\n"},
			both:  refused(list, "alias"),
		},
		{
			rule:  "a YAML merge",
			hints: keys{list: "- &h {claimName: home, storage: 10Gi}\n- claimName: data\n  <<: *h\n"}, both: refused(list, "alias"),
		},
		{
			rule:  "two YAML documents",
			hints: keys{list: "- claimName: home\n---\n- claimName: data\n"}, both: refused(list, ""),
		},
		{
			rule:  "two JSON values",
			hints: keys{list: `[{"claimName":"home"}] [{"claimName":"data"}]`}, both: refused(list, ""),
		},
		{
			rule:  "an unreadable list leaves the other one's hints",
			hints: keys{list: "[", ext: `[{"claimName":"home","storageClass":"fast"}]`},
			home:  refused(list, "").and("class=fast"), data: refused(list, ""),
		},
		{
			rule:  "OpenSandbox's annotation unreadable",
			hints: keys{ext: `{"claimName":"home"}`}, both: refused(ext, "list"),
		},
	}
	for _, unknown := range []string{
		"size", "name", "volumeName", "selector", "dataSource", "dataSourceRef", "labels", "finalizers", "ownerReferences",
		"volumeMode", "created", "claims", "<<", "",
	} {
		rows = append(rows, row{
			rule:  "an unknown field: " + unknown,
			hints: keys{list: `[{"claimName":"home","` + unknown + `":"x","storageClass":"fast"},{"claimName":"data","storage":"5Gi"}]`},
			home:  refused("[0]", `"`+unknown+`"`).and("class=fast"), data: ok("storage=5Gi"),
		})
	}
	for _, object := range []string{
		`{"storage":"10Gi"}`, `{}`, `{"claimName":null}`, `{"claimName":""}`,
	} {
		rows = append(rows, row{
			rule:  "no claimName: " + object,
			hints: keys{list: `[` + object + `]`}, both: refused(list+"][0]", "claimName"),
		})
	}
	for _, name := range []string{`7`, `true`, `["home"]`, `{"name":"home"}`} {
		rows = append(rows, row{
			rule:  "claimName is no string: " + name,
			hints: keys{list: `[{"claimName":` + name + `}]`}, both: refused(list+"][0].claimName", "; "),
		})
	}
	for _, entry := range []string{`"home"`, `7`, `["home"]`, `true`} {
		rows = append(rows, row{
			rule:  "no object: " + entry,
			hints: keys{list: `[` + entry + `]`}, both: refused(list+"][0]", "claimName"),
		})
	}
	for _, text := range []string{
		`{"claimName":"home","storage":"10Gi"}`, `"home"`, `home`, `7`, `true`, "claimName: home\nstorage: 10Gi", `{}`,
	} {
		rows = append(rows, row{
			rule:  "not a list: " + text,
			hints: keys{list: text}, both: refused(list, "list"),
		})
	}
	for _, text := range []string{`[`, `[{`, `[{"claimName":"home",}`, "\t- x", "- a: b: c", "[\x00]", "\xff", "{{ }}", `[}`, "- [*x]", "!!binary x"} {
		rows = append(rows, row{
			rule:  "unreadable: " + text,
			hints: keys{list: text}, both: refused(list, ""),
		})
	}
	return rows
}
