#include "cmd/bench/subject.h"

#include <utility>

#include "runner/checkpoint/synthetic.h"

namespace glm::bench {

Result<Subject> Subject::from_files(std::string name, const runner::CheckpointFiles& files) {
  runner::ModelFacts facts = GLM_TRY(runner::inspect(files).with(name));
  runner::Checkpoint checkpoint = GLM_TRY(runner::Checkpoint::open(files).with(name));
  return Subject(std::move(name), "", std::move(facts), std::move(checkpoint));
}

Result<Subject> Subject::from_config(std::string name, std::string layout,
                                     const std::string& config_json, std::int64_t layers) {
  runner::Synthetic synthetic = GLM_TRY(runner::synthesize(config_json, layers).with(name));
  return Subject(std::move(name), std::move(layout), std::move(synthetic.facts),
                 std::move(synthetic.checkpoint));
}

Result<std::unique_ptr<runner::Model>> Subject::load(const runner::LoadOptions& options) const {
  return runner::load_model(checkpoint_, facts_, options).with(name_);
}

}  // namespace glm::bench
