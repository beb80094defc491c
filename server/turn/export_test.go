package turn

// ResumeEvery is how often the tests' Dify is asked whether a run is over.
const ResumeEvery = resumeEvery
