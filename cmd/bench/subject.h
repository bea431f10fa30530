// What is measured: a model in files, or one of random numbers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "runner/checkpoint/checkpoint_files.h"
#include "runner/checkpoint/model_facts.h"
#include "runner/models/registry.h"

namespace glm::bench {

class Subject {
 public:
  // As inspect().
  static Result<Subject> from_files(std::string name, const runner::CheckpointFiles& files);
  // `layout`: whose configuration it is. As synthesize().
  static Result<Subject> from_config(std::string name, std::string layout,
                                     const std::string& config_json, std::int64_t layers);

  const std::string& name() const { return name_; }
  const std::string& layout() const { return layout_; }  // empty: real weights
  const runner::ModelFacts& facts() const { return facts_; }

  Result<std::unique_ptr<runner::Model>> load(const runner::LoadOptions& options) const;

 private:
  Subject(std::string name, std::string layout, runner::ModelFacts facts,
          runner::Checkpoint checkpoint)
      : name_(std::move(name)),
        layout_(std::move(layout)),
        facts_(std::move(facts)),
        checkpoint_(std::move(checkpoint)) {}

  std::string name_;
  std::string layout_;
  runner::ModelFacts facts_;
  runner::Checkpoint checkpoint_;
};

}  // namespace glm::bench
