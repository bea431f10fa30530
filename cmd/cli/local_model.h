// Models as files, for the commands that work without a daemon.
#pragma once

#include <string>

#include "base/result.h"
#include "modelfiles/modelfile.h"
#include "runner/checkpoint/checkpoint_files.h"
#include "runner/text/tokenizer.h"

namespace glm {

struct LocalModel {
  std::string name;  // for messages
  runner::CheckpointFiles files;
  modelfiles::Modelfile modelfile;
};

// What MODEL means: a folder when it looks like a path ("./x", "/x", "../x"), else a model of the
// store, else one of the catalog whose files ship with the program, else a folder of that name.
// Nothing is created or started. Errc::not_found tells how to get the model.
Result<LocalModel> find_local_model(const std::string& name);

// For commands whose models come from the store. Errc::unsupported when `model` can only mean a
// folder that exists.
Status refuse_folder(const std::string& model);

// The tokenizer of a model, or of one file; exactly one of the two names is not empty.
Result<runner::Tokenizer> read_tokenizer(const std::string& model, const std::string& file);

// Errc::invalid_argument unless exactly one of the two is given. `flag` describes the second.
Status check_one_source(const std::string& model, const std::string& file, std::string_view flag);

}  // namespace glm
