// Which model a benchmark is of, by its name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "cmd/bench/subject.h"
#include "runner/plan/run_plan.h"

namespace glm {

// As find_local_model().
Result<bench::Subject> local_subject(const std::string& name);

// Random weights in the layout of what `name` stands for: a name of the catalog, a repository whose
// layout is shipped (modelfiles/layouts), or a path to a config.json or to a folder with one.
// Errc::not_found names the layouts there are.
Result<bench::Subject> synthetic_subject(const std::string& name, std::int64_t layers);

// Other forms of it in the catalog.
std::vector<runner::Alternative> other_forms_of(const bench::Subject& subject);

}  // namespace glm
