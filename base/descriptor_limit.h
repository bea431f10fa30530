// How many descriptors this process may have open.
#pragma once

namespace glm {

// As many as the system lets it: a connection needs one or two, and the usual limit is 1024. Where
// it cannot be raised there will be fewer connections.
void raise_descriptor_limit();

}  // namespace glm
